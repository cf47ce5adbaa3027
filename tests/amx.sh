#!/usr/bin/env bash
# Runs a Linux program on an emulated processor with Intel AMX, such as the tests of the kernels:
#
#   cargo test --lib --no-run        # tells the program's name
#   tests/amx.sh target/debug/deps/erlen-HASH ops::quantized --test-threads=1
#
#   amx.sh [-c CPUS] [-t SECONDS] [-e NAME=VALUE]... [-f FILE[:PATH]]... PROGRAM [ARGS...]
#
#   -c  virtual processors (default 1; more need a Bochs built for SMP)
#   -t  time limit for everything, in seconds of real time (default 600)
#   -e  an environment variable for the program
#   -f  a file for the guest, at PATH (default: the same path as here)
#
# Prints what the program prints (stdout and stderr together) and exits with
# its exit code, 128 + N if signal N ended it. Exit code 124 means the time
# limit, 125 that the guest did not run the program to its end.
#
# Environment:
#   BOCHS        the emulator (default: bochs in PATH). It must know AMX, let Linux
#                use it (MSR_IA32_XFD, saving and restoring tiles), and take bytes
#                with a sign as such: Bochs of August 2026 does neither by itself.
#                Its vdpbf16ps differs from processors', so tests that run all kernels
#                of bf16 fail there.
#   BXSHARE      its BIOS images (default: share/bochs beside its bin directory)
#   AMX_WORK     where downloads and temporary files go (default target/amx)
#   AMX_KERNEL   a bzImage to boot (default: Debian's cloud kernel, downloaded)
#   AMX_MODEL    the Bochs processor model (default sapphire_rapids)
#   AMX_APPEND   more words for the kernel's command line
#   AMX_MEGS     the guest's memory (default 512)
#   AMX_IPS      emulated instructions in an emulated second (default 50000000)
#   AMX_KEEP     a directory to leave the run's files in
#   AMX_VERBOSE  if set, the kernel's log goes to stderr at the end
#
# Needs rustc, and apt-get and dpkg-deb for the Debian packages.
set -euo pipefail

die() { echo "amx: $*" >&2; exit 125; }

cpus=1 limit=600 env=() files=()
while getopts c:t:e:f: o; do
  case $o in
    c) cpus=$OPTARG ;;
    t) limit=$OPTARG ;;
    e) env+=("$OPTARG") ;;
    f) files+=("$OPTARG") ;;
    *) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" >&2; exit 125 ;;
  esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || die "no program given"
program=$1; shift
[ -x "$program" ] || die "cannot run $program"

bochs=$(command -v "${BOCHS:-bochs}") || die "no Bochs: set BOCHS"
share=${BXSHARE:-$(dirname "$(readlink -f "$bochs")")/../share/bochs}
[ -e "$share/BIOS-bochs-latest" ] || die "no BIOS images in $share: set BXSHARE"
work=${AMX_WORK:-target/amx}
mkdir -p "$work"
work=$(cd "$work" && pwd)

# Once: the kernel, the boot loader, the tools for images, and the guest's init.
exec 9>"$work/lock"
flock 9
root=$work/root
if [ ! -e "$root/done" ]; then
  rm -rf "$root" "$work/debs"
  mkdir -p "$root" "$work/debs"
  packages=(isolinux syslinux-common genisoimage cpio)
  if [ -z "${AMX_KERNEL:-}" ]; then
    packages+=("$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image/ { print $2; exit }')")
  fi
  (cd "$work/debs" && apt-get download "${packages[@]}" >&2) || die "no packages"
  for deb in "$work"/debs/*.deb; do dpkg-deb -x "$deb" "$root"; done
  touch "$root/done"
fi
kernel=${AMX_KERNEL:-$(echo "$root"/boot/vmlinuz-*)}
[ -e "$kernel" ] || die "no kernel $kernel"

# Runs /test and writes to the port that Bochs copies to its standard output.
cat >"$work/init-new.rs" <<'RUST'
use std::ffi::{CString, OsString, c_char, c_int, c_ulong, c_void};
use std::io::Read;
use std::os::unix::{ffi::OsStringExt, process::ExitStatusExt};
use std::process::{Command, Stdio};

unsafe extern "C" {
    fn mount(what: *const c_char, at: *const c_char, kind: *const c_char, flags: c_ulong, data: *const c_void) -> c_int;
    fn iopl(level: c_int) -> c_int;
}

fn out(port: u16, bytes: &[u8]) {
    for &b in bytes {
        unsafe { std::arch::asm!("out dx, al", in("dx") port, in("al") b, options(nostack)) };
    }
}

fn words(path: &str) -> Vec<OsString> {
    let all = std::fs::read(path).unwrap_or_default();
    let mut v: Vec<_> = all.split(|&b| b == 0).map(|w| OsString::from_vec(w.to_vec())).collect();
    v.pop();
    v
}

fn run(last: &mut u8) -> std::io::Result<i32> {
    let (mut from, to) = std::io::pipe()?;
    let mut command = Command::new("/test");
    command.args(words("/args")).env_clear().env("PATH", "/").env("HOME", "/tmp");
    for e in words("/env") {
        let e = e.into_vec();
        let at = e.iter().position(|&b| b == b'=').unwrap_or(e.len());
        let value = e.get(at + 1..).unwrap_or_default().to_vec();
        command.env(OsString::from_vec(e[..at].to_vec()), OsString::from_vec(value));
    }
    command.stdin(Stdio::null()).stdout(to.try_clone()?).stderr(to);
    let mut child = command.spawn()?;
    drop(command);
    let mut buffer = [0; 4096];
    loop {
        match from.read(&mut buffer)? {
            0 => break,
            n => {
                out(0xE9, &buffer[..n]);
                *last = buffer[n - 1];
            }
        }
    }
    let status = child.wait()?;
    Ok(status.code().unwrap_or(128 + status.signal().unwrap_or(0)))
}

fn main() {
    for (kind, at) in [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev")] {
        let _ = std::fs::create_dir(at);
        let (kind, at) = (CString::new(kind).unwrap(), CString::new(at).unwrap());
        unsafe { mount(kind.as_ptr(), at.as_ptr(), kind.as_ptr(), 0, std::ptr::null()) };
    }
    let _ = std::fs::create_dir("/tmp");
    assert_eq!(unsafe { iopl(3) }, 0);
    out(0xE9, b"\n@amx begin@\n");
    let mut last = b'\n';
    let code = match run(&mut last) {
        Ok(code) => code,
        Err(e) => {
            out(0xE9, format!("amx: cannot run the program: {e}\n").as_bytes());
            125
        }
    };
    if last != b'\n' {
        out(0xE9, b"\n");
    }
    out(0xE9, format!("@amx end {code}@\n").as_bytes());
    // Bochs ends at this word.
    out(0x8900, b"Shutdown");
    loop {
        std::thread::park();
    }
}
RUST
if [ ! -e "$work/init" ] || ! cmp -s "$work/init-new.rs" "$work/init.rs"; then
  rustc --edition 2024 -O -C target-feature=+crt-static -C panic=abort -C strip=symbols \
    -o "$work/init" "$work/init-new.rs" || die "init does not compile"
  mv "$work/init-new.rs" "$work/init.rs"
fi
flock -u 9

run=$(mktemp -d "$work/run.XXXXXX")
emulator=
cleanup() {
  [ -z "$emulator" ] || kill "$emulator" 2>/dev/null || true
  rm -rf "$run"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# The initramfs: init, the program without debug data, its shared libraries.
tree=$run/tree
mkdir -p "$tree" "$run/iso/isolinux"
cp "$work/init" "$tree/init"
strip --strip-debug -o "$tree/test" "$program" 2>/dev/null || cp "$program" "$tree/test"
chmod 755 "$tree/init" "$tree/test"
add() { mkdir -p "$tree/$(dirname "$2")"; cp -L "$1" "$tree/$2"; }
# A static program has no libraries: ldd then fails.
if libraries=$(ldd "$program" 2>/dev/null); then
  while read -r library; do add "$library" "$library"; done \
    < <(grep -o '/[^ ]*' <<<"$libraries" | sort -u)
fi
for f in ${files[@]+"${files[@]}"}; do
  case $f in
    *:*) add "${f%%:*}" "${f#*:}" ;;
    *) add "$f" "$(readlink -f "$f")" ;;
  esac
done
: >"$tree/args"; : >"$tree/env"
[ $# -eq 0 ] || printf '%s\0' "$@" >"$tree/args"
[ ${#env[@]} -eq 0 ] || printf '%s\0' "${env[@]}" >"$tree/env"
# Not compressed: the emulated processor would take longer to unpack it.
(cd "$tree" && find . -mindepth 1 | LC_ALL=C sort | "$root/bin/cpio" --quiet -R 0:0 -o -H newc) >"$run/iso/initrd"

# clearcpuid=fsrm: Bochs has no MSR_IA32_MISC_ENABLE, so Linux believes that fast
# string operations are off (no ERMS); its memmove for FSRM without ERMS checks no
# length and overwrites memory.
cp "$kernel" "$run/iso/kernel"
cp "$root/usr/lib/ISOLINUX/isolinux.bin" "$root/usr/lib/syslinux/modules/bios/ldlinux.c32" "$run/iso/isolinux/"
quiet=quiet
[ -z "${AMX_VERBOSE:-}" ] || quiet=
cat >"$run/iso/isolinux/isolinux.cfg" <<CFG
default linux
prompt 0
timeout 0
label linux
  kernel /kernel
  initrd /initrd
  append console=ttyS0,115200 $quiet panic=-1 reboot=t nokaslr mitigations=off tsc=reliable no_timer_check clearcpuid=fsrm random.trust_cpu=on selinux=0 apparmor=0 audit=0 intel_iommu=off ${AMX_APPEND:-}
CFG
"$root/usr/bin/genisoimage" -quiet -o "$run/boot.iso" -b isolinux/isolinux.bin -c isolinux/boot.cat \
  -no-emul-boot -boot-load-size 4 -boot-info-table -R "$run/iso" 2>"$run/iso.log" || { cat "$run/iso.log" >&2; die "no boot image"; }

cat >"$run/bochsrc" <<CFG
config_interface: textconfig
display_library: nogui
cpu: model=${AMX_MODEL:-sapphire_rapids}, count=$cpus, ips=${AMX_IPS:-50000000}, reset_on_triple_fault=0, ignore_bad_msrs=1
memory: guest=${AMX_MEGS:-512}, host=${AMX_MEGS:-512}
romimage: file=$share/BIOS-bochs-latest
vgaromimage: file=$share/VGABIOS-lgpl-latest.bin
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=cdrom, path=$run/boot.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev=$run/serial
port_e9_hack: enabled=1
clock: sync=none
log: $run/log
panic: action=fatal
error: action=report
info: action=ignore
debug: action=ignore
CFG

# Bochs prints its own words before the first mark and after the second.
mkfifo "$run/out"
timeout -k 10 "$limit" nice -n 10 "$bochs" -q -f "$run/bochsrc" >"$run/out" 2>"$run/err" 9>&- </dev/null &
emulator=$!
# After a panic or a triple fault the emulated processor would stand still until the time limit.
(while kill -0 "$emulator" 2>/dev/null; do
  sleep 1
  if grep -qs 'Kernel panic' "$run/serial" || grep -qs '3rd (.*) exception with no resolution' "$run/log"; then
    sleep 1; kill "$emulator"; break
  fi
done) >/dev/null 2>&1 &
state=0 code=
while IFS= read -r line; do
  case $state$line in
    0"@amx begin@") state=1 ;;
    1"@amx end "*@) code=${line#@amx end }; code=${code%@}; state=2 ;;
    1*) printf '%s\n' "$line" ;;
  esac
done <"$run/out"
rc=0; wait "$emulator" || rc=$?
emulator=
[ -z "${AMX_VERBOSE:-}" ] || tr -d '\r' <"$run/serial" >&2
[ -z "${AMX_KEEP:-}" ] || { rm -rf "$AMX_KEEP"; cp -r "$run" "$AMX_KEEP"; }
if [ -z "$code" ]; then
  tail -n 20 "$run/serial" 2>/dev/null | tr -d '\r' >&2 || true
  tail -n 5 "$run/log" >&2 2>/dev/null || true
  [ $rc != 124 ] || { echo "amx: time limit of $limit s" >&2; exit 124; }
  die "the guest ended early (Bochs: exit code $rc)"
fi
exit "$code"
