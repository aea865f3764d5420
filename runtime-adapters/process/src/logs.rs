//! What instances and jobs print.
//!
//! A process gets its log file itself, opened for appending, as its output and error output: nothing stands between, so that it
//! goes on writing when the host is gone. A file that has grown past its limit is copied aside and then emptied in place, since
//! the process keeps it open; what is printed between the copy and the emptying is lost, and a file may grow past its limit by
//! what is printed within one second.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

/// How much of a log's end is shown in an observation, in bytes and in lines.
const TAIL_BYTES: u64 = 2_048;
const TAIL_LINES: usize = 5;

/// Opens a log for a process to append to.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    OpenOptions::new().create(true).append(true).open(path)
}

fn rotated(path: &Path, number: u8) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

/// Rotates a log that has grown past `limit` bytes, keeping `files` older ones. Answers whether it did.
pub(crate) fn rotate(path: &Path, limit: u64, files: u8) -> io::Result<bool> {
    let size = match std::fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    if size <= limit {
        return Ok(false);
    }
    for number in (1..files).rev() {
        match std::fs::rename(rotated(path, number), rotated(path, number + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    let emptied = OpenOptions::new().write(true).open(path)?;
    if files > 0 {
        // Only the end is kept where it grew far past its limit at once.
        let mut from = File::open(path)?;
        from.seek(SeekFrom::Start(size.saturating_sub(limit.saturating_mul(2))))?;
        let mut to = File::create(rotated(path, 1))?;
        io::copy(&mut from.take(limit.saturating_mul(2)), &mut to)?;
    }
    emptied.set_len(0)?;
    Ok(true)
}

/// Removes a log and what was rotated of it.
pub(crate) fn remove(path: &Path, files: u8) -> io::Result<()> {
    crate::state::remove(path)?;
    (1..=files).try_for_each(|number| crate::state::remove(&rotated(path, number)))
}

/// How something ended, with what it printed last. Of what was given secrets nothing is repeated: however it writes one, nobody but its
/// log has it.
pub(crate) fn ended(how: String, log: &Path, was_given_secrets: bool) -> String {
    let tail = tail(log);
    match () {
        () if tail.is_empty() => how,
        () if was_given_secrets => {
            format!("{how}; what it printed is in its log alone, since it was given secrets")
        }
        () => format!("{how}; its last output: {tail}"),
    }
}

/// The last few lines of a log on one line, without control characters; empty where there are none.
fn tail(path: &Path) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let size = file.metadata()?.len();
        file.seek(SeekFrom::Start(size.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<String> = text
        .lines()
        .rev()
        .map(|line| line.chars().filter(|character| !character.is_control()).collect::<String>())
        .filter(|line| !line.trim().is_empty())
        .take(TAIL_LINES)
        .collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_log_past_its_limit_is_rotated_while_its_writer_keeps_it_open() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("logs/one.log");
        let mut writer = open(&path).expect("opened");
        for round in 0..5 {
            writer.write_all(format!("round {round} {}\n", "x".repeat(100)).as_bytes()).expect("written");
            assert!(rotate(&path, 100, 2).expect("rotated"));
            assert!(!rotate(&path, 100, 2).expect("nothing to rotate"));
        }
        writer.write_all(b"the end\n").expect("written");
        assert_eq!(std::fs::read_to_string(&path).expect("readable"), "the end\n");
        assert!(std::fs::read_to_string(rotated(&path, 1)).expect("kept").starts_with("round 4"));
        assert!(std::fs::read_to_string(rotated(&path, 2)).expect("kept").starts_with("round 3"));
        assert!(!rotated(&path, 3).exists());
        remove(&path, 2).expect("removed");
        assert_eq!(std::fs::read_dir(folder.path().join("logs")).expect("readable").count(), 0);
    }

    #[test]
    fn the_end_of_a_log_is_bounded_and_free_of_control_characters() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("one.log");
        let mut writer = open(&path).expect("opened");
        for line in 0..1_000 {
            writeln!(writer, "\u{1b}[31mline {line}").expect("written");
        }
        assert_eq!(tail(&path), "[31mline 995 | [31mline 996 | [31mline 997 | [31mline 998 | [31mline 999");
        assert_eq!(tail(&folder.path().join("absent.log")), "");
    }
}
