//! The running Docker daemon.

use std::net::Ipv4Addr;

use super::process::{command, output};
use crate::error::{Context as _, ServeError};

/// Checks that the Docker daemon answers.
///
/// # Errors
///
/// The daemon does not answer.
pub async fn require_daemon() -> Result<(), ServeError> {
    let version = ["version", "--format", "{{.Server.Version}}"];
    let version = output(command("docker", version)).await;
    version.context("the Docker daemon does not answer; start Docker, then try again")?;
    Ok(())
}

/// The address at which containers reach this machine: the gateway of Docker's default network.
///
/// # Errors
///
/// The default network `bridge` does not exist.
pub async fn bridge() -> Result<Ipv4Addr, ServeError> {
    let format = "{{range .IPAM.Config}}{{.Gateway}} {{.Subnet}} {{end}}";
    let inspect = ["network", "inspect", "bridge", "--format", format];
    let networks = output(command("docker", inspect)).await;
    let networks = networks.context("cannot inspect Docker's network `bridge`")?;
    gateway(&networks).ok_or_else(|| {
        ServeError::new(format!(
            "Docker's network `bridge` has no IPv4 address: {networks:?}"
        ))
    })
}

/// The gateway in the output of `docker network inspect`. A daemon that has just started may
/// print the subnet only; the gateway is then its first address.
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
    fn bridge_is_gateway_or_first_address_of_its_subnet() {
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
