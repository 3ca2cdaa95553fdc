//! The Docker daemon: the running one, or one that the test starts and stops.

use std::fs;
use std::path::Path;
use std::time::Duration;

use session_cleanup_local::sam_local::docker::require_daemon;
use session_cleanup_local::sam_local::process::{ChildProcess, command, last_line, project};
use tokio::time::sleep;

/// The Docker daemon.
pub(crate) struct Engine {
    /// The daemon, if the test has started it.
    own: Option<ChildProcess>,
}

impl Engine {
    /// Finds the running daemon or starts one. Panics if neither is possible.
    pub(crate) async fn find_or_start() -> Self {
        if answers().await {
            return Self { own: None };
        }
        let own = start().await;
        // `.ci/run` looks for this message, and skips the test.
        let own = own.unwrap_or_else(|why| panic!("cannot start the Docker daemon: {why}"));
        Self { own: Some(own) }
    }

    /// Stops the daemon if the test has started it.
    pub(crate) async fn end(self) {
        if let Some(engine) = self.own {
            engine.end().await;
        }
    }
}

/// Whether the daemon answers.
pub(crate) async fn answers() -> bool {
    require_daemon().await.is_ok()
}

async fn start() -> Result<ChildProcess, String> {
    let folder = project().join(".aws-sam");
    let log = folder.join("dockerd.log");
    let describe = |error: std::io::Error| format!("{}: {error}", log.display());
    fs::create_dir_all(&folder).map_err(describe)?;
    let file = fs::File::create(&log).map_err(describe)?;
    let both = file.try_clone().map_err(describe)?;
    let mut dockerd = command(dockerd()?, [] as [&str; 0]);
    dockerd.stdout(file).stderr(both);
    let mut engine = ChildProcess::start(dockerd).map_err(|error| error.to_string())?;
    loop {
        // Read both before asking Docker, because they may change in between.
        let written = fs::read_to_string(&log).unwrap_or_default();
        let has_ended = engine.has_ended();
        if answers().await {
            return Ok(engine);
        }
        let why = if has_ended {
            last_line(&written).unwrap_or_else(|| "dockerd ended".to_owned())
        } else if written.contains("API listen on") {
            // `DOCKER_HOST` or a Docker context selects another daemon.
            engine.end().await;
            "dockerd listens, but not where docker looks for it".to_owned()
        } else {
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        return Err(format!("{why} (more in {})", log.display()));
    }
}

/// Path of `dockerd`, whose folder may not be in PATH.
fn dockerd() -> Result<&'static str, String> {
    const PATHS: [&str; 3] = [
        "/usr/bin/dockerd",
        "/usr/sbin/dockerd",
        "/usr/local/bin/dockerd",
    ];
    let found = PATHS.into_iter().find(|path| Path::new(path).is_file());
    found.ok_or_else(|| "dockerd is not installed".to_owned())
}
