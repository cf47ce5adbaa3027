//! The commit that a project stands at, read from git's own files: no process is started.

use std::fs;
use std::path::Path;

/// The commit that is checked out in the work tree around `folder`; none outside of one, or before
/// the first commit.
pub fn commit(folder: &Path) -> Option<String> {
    let folder = folder.canonicalize().ok()?;
    let dot_git = folder
        .ancestors()
        .map(|folder| folder.join(".git"))
        .find(|path| path.exists())?;
    let git = match fs::read_to_string(&dot_git) {
        // A linked work tree: a file that says where its folder is.
        Ok(text) => dot_git.parent()?.join(text.strip_prefix("gitdir:")?.trim()),
        Err(_) => dot_git,
    };
    let common = match fs::read_to_string(git.join("commondir")) {
        Ok(text) => git.join(text.trim()),
        Err(_) => git.clone(),
    };
    let head = fs::read_to_string(git.join("HEAD")).ok()?;
    let Some(reference) = head.trim().strip_prefix("ref:") else {
        return commit_id(&head);
    };
    let reference = reference.trim();
    if let Ok(text) = fs::read_to_string(common.join(reference)) {
        return commit_id(&text);
    }
    let packed = fs::read_to_string(common.join("packed-refs")).ok()?;
    packed
        .lines()
        .find_map(|line| line.split_once(' ').filter(|(_, name)| *name == reference))
        .and_then(|(id, _)| commit_id(id))
}

fn commit_id(text: &str) -> Option<String> {
    let id = text.trim();
    let holds = id.len() >= 40 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    holds.then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_commit_in_every_form() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let (first, second) = ("a".repeat(40), "b".repeat(40));
        let git = root.join(".git");
        fs::create_dir_all(git.join("refs/heads")).unwrap();
        fs::create_dir_all(root.join("deep/inside")).unwrap();
        let write = |name: &str, text: &str| fs::write(git.join(name), text).unwrap();

        write("HEAD", "ref: refs/heads/main\n");
        assert_eq!(commit(root), None);
        write("packed-refs", &format!("# pack-refs\n{second} refs/heads/main\n"));
        assert_eq!(commit(root), Some(second.clone()));
        write("refs/heads/main", &format!("{first}\n"));
        assert_eq!(commit(&root.join("deep/inside")), Some(first.clone()));
        write("HEAD", &format!("{second}\n"));
        assert_eq!(commit(root), Some(second));

        let linked = root.join("linked");
        let own = git.join("worktrees/linked");
        fs::create_dir_all(&linked).unwrap();
        fs::create_dir_all(&own).unwrap();
        fs::write(linked.join(".git"), format!("gitdir: {}\n", own.display())).unwrap();
        fs::write(own.join("commondir"), "../..\n").unwrap();
        fs::write(own.join("HEAD"), "ref: refs/heads/main\n").unwrap();
        assert_eq!(commit(&linked), Some(first));
    }
}
