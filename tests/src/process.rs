//! What a process has used, as Linux tells it in `/proc`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A process, by its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    id: u32,
}

impl Process {
    /// The first child found of the process `parent`.
    #[must_use]
    pub fn child_of(parent: u32) -> Option<Self> {
        let children = fs::read_dir("/proc").expect("Linux").filter_map(|entry| {
            let id = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
            // After the program's name in parentheses, which may hold spaces: state, parent.
            let (_, fields) = stat.rsplit_once(')')?;
            let its_parent = fields.split_whitespace().nth(1)?;
            (its_parent == parent.to_string()).then_some(Self { id })
        });
        children.min_by_key(|child| child.id)
    }

    /// Whether it still runs.
    #[must_use]
    pub fn is_there(&self) -> bool {
        // What has ended, but was not asked for its status yet, has no memory.
        fs::read_to_string(self.file("status")).is_ok_and(|status| status.contains("VmRSS:"))
    }

    /// The CPU time of its threads, to the nanosecond. Threads that have ended are not counted:
    /// the functions have one thread, and end none.
    #[must_use]
    pub fn cpu(&self) -> Duration {
        let threads = fs::read_dir(self.file("task")).expect("a process that runs");
        let nanoseconds = threads.map(|thread| {
            let file = thread.expect("a thread").path().join("schedstat");
            let text = fs::read_to_string(file).expect("a kernel with schedstat");
            let on_cpu = text.split(' ').next();
            let on_cpu = on_cpu.and_then(|number| number.parse().ok());
            Duration::from_nanos(on_cpu.expect("nanoseconds"))
        });
        nanoseconds.sum()
    }

    /// The most memory that it ever had in RAM, in bytes.
    #[must_use]
    pub fn most_resident(&self) -> u64 {
        let status = fs::read_to_string(self.file("status")).expect("a process that runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
        kibibytes.map(|it: u64| it * 1024).expect("kibibytes")
    }

    fn file(&self, name: &str) -> PathBuf {
        Path::new("/proc").join(self.id.to_string()).join(name)
    }
}
