//! Everything at once, for as long as one likes:
//!
//! ```text
//! ERLEN_SOAK_SECONDS=3600 cargo test --release --test cli soak -- --ignored --nocapture
//! ```

use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::project::Project;
use crate::trust::{chains, files, is_sound, spoil, start_group};

/// Draws; the seed is printed, and `ERLEN_SOAK_SEED` sets it.
struct Draws(u64);

impl Draws {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }
}

/// A number of the environment.
pub fn setting(name: &str, default: u64) -> u64 {
    let value = std::env::var(name).ok();
    value.map_or(default, |text| text.parse().expect("a number"))
}

fn some_file(project: &Project, part: &str, draws: &mut Draws) -> Option<PathBuf> {
    let mut all = files(&project.path(&format!(".erlen/{part}")));
    all.sort();
    (!all.is_empty()).then(|| all.swap_remove(draws.below(all.len())))
}

#[test]
#[ignore = "runs for minutes"]
fn soak() {
    let seconds = setting("ERLEN_SOAK_SECONDS", 300);
    let seed = setting("ERLEN_SOAK_SEED", u64::from(std::process::id()));
    println!("soaking for {seconds} s with ERLEN_SOAK_SEED={seed}");
    let mut draws = Draws(seed | 1);
    let text = chains(5, "0.02");
    let undisturbed = Project::new().with("p.yaml", &text);
    undisturbed.erlen(["run", "p.yaml"]).assert_code(0);
    let expected = undisturbed.artifacts(&["p.yaml"]);

    let project = Project::new().with("p.yaml", &text);
    let [
        mut kills,
        mut interrupts,
        mut damages,
        mut collections,
        mut finished,
    ] = [0u32; 5];
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(seconds) {
        let mut running: Vec<Child> = (0..=draws.below(4)).map(|_| start_group(&project)).collect();
        for _ in 0..draws.below(6) {
            std::thread::sleep(Duration::from_millis(draws.below(150) as u64));
            match draws.below(4) {
                0 if !running.is_empty() => {
                    let mut child = running.swap_remove(draws.below(running.len()));
                    let signal = if draws.below(4) == 0 {
                        interrupts += 1;
                        Signal::INT
                    } else {
                        kills += 1;
                        Signal::KILL
                    };
                    // It may have come to its end by now.
                    let _ = kill_process_group(Pid::from_child(&child), signal);
                    child.wait().unwrap();
                }
                1 => {
                    let part = ["objects", "actions"][draws.below(2)];
                    let how = ["flip", "truncate", "delete", "garbage"][draws.below(4)];
                    if let Some(file) = some_file(&project, part, &mut draws) {
                        damages += 1;
                        spoil(&file, how);
                    }
                }
                2 => {
                    collections += 1;
                    project.erlen(["store", "gc", "p.yaml", "--delete"]);
                }
                _ => {}
            }
        }
        for mut child in running {
            // Damage that is done again and again while it runs may fail it, but not the next one.
            child.wait().unwrap();
        }
        project.erlen(["run", "p.yaml", "-j", "4"]).assert_code(0);
        assert_eq!(project.artifacts(&["p.yaml"]), expected);
        is_sound(&project);
        finished += 1;
    }
    println!(
        "{finished} times run to the end with the same bytes, after {kills} kills, {interrupts} interrupts, {damages} \
         damages and {collections} collections"
    );
}
