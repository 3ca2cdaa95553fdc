//! CPU time and memory of a process, from `/proc`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// CPU time of the current thread, in nanosecond resolution.
#[must_use]
pub fn cpu_of_this_thread() -> Duration {
    on_cpu(Path::new("/proc/thread-self/schedstat"))
}

fn on_cpu(schedstat: &Path) -> Duration {
    let text = fs::read_to_string(schedstat).expect("a kernel with schedstat");
    let on_cpu = text.split(' ').next();
    let on_cpu = on_cpu.and_then(|number| number.parse().ok());
    Duration::from_nanos(on_cpu.expect("nanoseconds"))
}

/// A process, by its ID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    id: u32,
}

impl Process {
    /// The first child of a process that has not ended.
    #[must_use]
    pub fn child_of(parent: u32) -> Option<Self> {
        let children = fs::read_dir("/proc").expect("Linux").filter_map(|entry| {
            let id = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
            // State and parent follow the program's name in parentheses, which may contain spaces.
            // A child that has ended but was not waited for is a zombie.
            let (_, fields) = stat.rsplit_once(')')?;
            let mut fields = fields.split_whitespace();
            let (state, its_parent) = (fields.next()?, fields.next()?);
            (state != "Z" && its_parent == parent.to_string()).then_some(Self { id })
        });
        children.min_by_key(|child| child.id)
    }

    /// Whether the process still runs.
    #[must_use]
    pub fn is_there(&self) -> bool {
        // A zombie has no memory.
        fs::read_to_string(self.file("status")).is_ok_and(|status| status.contains("VmRSS:"))
    }

    /// Sends SIGKILL. Does nothing if the process has ended.
    pub fn kill(&self) {
        let id = i32::try_from(self.id).ok().and_then(Pid::from_raw);
        let _ = kill_process(id.expect("the id of a process"), Signal::KILL);
    }

    /// CPU time of the running threads, in nanosecond resolution. The functions have a single
    /// thread, so ended threads do not matter.
    #[must_use]
    pub fn cpu(&self) -> Duration {
        let threads = fs::read_dir(self.file("task")).expect("a process that runs");
        let of_thread = |thread: std::io::Result<fs::DirEntry>| {
            on_cpu(&thread.expect("a thread").path().join("schedstat"))
        };
        threads.map(of_thread).sum()
    }

    /// Peak resident memory in bytes.
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
