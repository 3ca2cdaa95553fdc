//! HTTPS in front of a key server.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use tempfile::NamedTempFile;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::KeyServer;

/// HTTPS in front of an HTTP server.
pub struct Tls {
    address: SocketAddr,
    certificate: NamedTempFile,
    server: JoinHandle<()>,
}

impl Tls {
    /// Forwards TLS connections to `server`. The certificate for 127.0.0.1 is self-signed.
    pub async fn before(server: &KeyServer) -> Self {
        let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a key");
        let mut certificate = NamedTempFile::new().expect("a file");
        certificate
            .write_all(own.cert.pem().as_bytes())
            .expect("the file is writable");
        let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).expect("a private key");
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key)
            .expect("a key that matches the certificate");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let plain = server.address;
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // A client that does not trust the certificate disconnects.
                    let mut outside = acceptor.accept(stream).await?;
                    let mut inside = TcpStream::connect(plain).await?;
                    copy_bidirectional(&mut outside, &mut inside).await
                });
            }
        });
        Self {
            address,
            certificate,
            server,
        }
    }

    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}/keys", self.address)
    }

    /// File of the certificate, for a client that trusts it.
    #[must_use]
    pub fn certificate(&self) -> &Path {
        self.certificate.path()
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        self.server.abort();
    }
}
