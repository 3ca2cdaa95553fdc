//! Docker's engine: the one that runs, or one that is started for as long as it is needed.

use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::sleep;

use super::programs::{ChildProcess, command, last_line, output, project};
use crate::serve::{Context, ServeError};
use crate::terminal::err;

/// Docker's engine.
pub struct Engine {
    /// Where this process has started it.
    own: Option<ChildProcess>,
}

impl Engine {
    /// Finds the engine that runs, or starts one.
    ///
    /// # Errors
    ///
    /// None runs, and none can be started.
    pub async fn find_or_start() -> Result<Self, ServeError> {
        let Err(why) = version().await else {
            return Ok(Self { own: None });
        };
        Self::start().await.map_err(|error| {
            ServeError::new(format!(
                "Docker's engine does not answer ({why}), and cannot be started: {error}"
            ))
        })
    }

    async fn start() -> Result<Self, String> {
        let log = log_file()?;
        let file = fs::File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
        let both = file.try_clone().map_err(|error| error.to_string())?;
        let mut dockerd = command(dockerd()?, [] as [&str; 0]);
        dockerd.stdout(file).stderr(both);
        let mut engine = ChildProcess::start(dockerd).map_err(|error| error.to_string())?;
        loop {
            // Looked at before docker is asked, for both may change in between.
            let said = fs::read_to_string(&log).unwrap_or_default();
            let has_ended = engine.has_ended();
            let Err(why) = version().await else { break };
            let why = if has_ended {
                last_line(&said).unwrap_or_else(|| "dockerd ended".to_owned())
            } else if said.contains("API listen on") {
                // Another engine is meant, by `DOCKER_HOST` or a context.
                engine.end().await;
                format!("dockerd listens, but not where docker looks for it: {why}")
            } else {
                sleep(Duration::from_millis(100)).await;
                continue;
            };
            return Err(format!("{why} (more in {})", log.display()));
        }
        err("Docker's engine was started, and ends with this command");
        Ok(Self { own: Some(engine) })
    }

    /// The address at which containers find this machine.
    ///
    /// # Errors
    ///
    /// An engine without the network that containers are in by default.
    pub async fn bridge(&self) -> Result<Ipv4Addr, ServeError> {
        let format = "{{range .IPAM.Config}}{{.Gateway}} {{.Subnet}} {{end}}";
        let networks = command(
            "docker",
            ["network", "inspect", "bridge", "--format", format],
        );
        let networks = output(networks).await;
        let networks = networks.context("find Docker's bridge")?;
        gateway(&networks).ok_or_else(|| {
            ServeError::failed("find Docker's bridge", format!("it is {networks:?}"))
        })
    }

    /// Ends it where this process has started it.
    pub async fn end(self) {
        if let Some(engine) = self.own {
            engine.end().await;
        }
    }
}

async fn version() -> Result<String, String> {
    output(command(
        "docker",
        ["version", "--format", "{{.Server.Version}}"],
    ))
    .await
}

fn log_file() -> Result<PathBuf, String> {
    let folder = project().join(".aws-sam");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(folder.join("dockerd.log"))
}

/// Where `dockerd` is: administrators' programs are not on everybody's path.
fn dockerd() -> Result<&'static str, String> {
    const PLACES: [&str; 3] = [
        "/usr/bin/dockerd",
        "/usr/sbin/dockerd",
        "/usr/local/bin/dockerd",
    ];
    let found = PLACES
        .into_iter()
        .find(|place| PathBuf::from(place).is_file());
    found.ok_or_else(|| "there is no dockerd; start Docker yourself".to_owned())
}

/// The bridge's own address. An engine that has just started may name its network alone, whose
/// first address it takes.
fn gateway(networks: &str) -> Option<Ipv4Addr> {
    let mut words = networks.split_whitespace();
    if let Some(gateway) = words.clone().find_map(|word| word.parse().ok()) {
        return Some(gateway);
    }
    let subnet = words.find_map(|word| word.split_once('/')?.0.parse::<Ipv4Addr>().ok())?;
    Some(Ipv4Addr::from_bits(subnet.to_bits() + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bridge_is_the_gateway_or_the_first_address_of_its_network() {
        let bridge = Some(Ipv4Addr::new(172, 17, 0, 1));
        assert_eq!(gateway("172.17.0.1 172.17.0.0/16"), bridge);
        assert_eq!(gateway(" 172.17.0.0/16"), bridge);
        assert_eq!(
            gateway("fd00::1 fd00::/64 172.17.0.1 172.17.0.0/16"),
            bridge
        );
        assert_eq!(gateway("fd00::1 fd00::/64"), None);
        assert_eq!(gateway(""), None);
    }
}
