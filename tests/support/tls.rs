//! TLS in front of a simulator, and everything that can be wrong with it: real certificates, real handshakes.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DnType, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ServerConfig, WantsServerCert, WebPkiClientVerifier};
use rustls::{ConfigBuilder, RootCertStore};
use time::{Duration as Days, OffsetDateTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// An authority with an intermediate below it, as most of them work.
pub struct Authority {
    root: CertifiedIssuer<'static, KeyPair>,
    intermediate: CertifiedIssuer<'static, KeyPair>,
}

/// A server's certificates, its own first, and its key.
pub struct Identity {
    pub chain: Vec<CertificateDer<'static>>,
    key: KeyPair,
}

/// What a certificate says.
#[derive(Clone, Copy)]
pub struct Says {
    pub name: Option<&'static str>,
    /// Days from now.
    pub from: i64,
    pub to: i64,
    /// Whether it carries where to fetch its issuer's, as certificates of public authorities do.
    pub public: bool,
    /// Whether it is marked as an authority's.
    pub authority: bool,
}

/// A good certificate for the host that the tests use.
pub const GOOD: Says = Says { name: Some("localhost"), from: -30, to: 30, public: false, authority: false };

impl Says {
    fn params(self, common_name: &str) -> CertificateParams {
        let names: Vec<String> = self.name.into_iter().map(str::to_owned).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.not_before = OffsetDateTime::now_utc() + Days::days(self.from);
        params.not_after = OffsetDateTime::now_utc() + Days::days(self.to);
        if self.authority {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        if self.public {
            // CA issuers: http://ca.example/i.der
            let mut access = vec![0x30, 0x24, 0x30, 0x22, 0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x02];
            access.extend([0x86, 0x16]);
            access.extend(b"http://ca.example/i.de");
            params.custom_extensions.push(CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], access));
        }
        params
    }
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let issuer = Says { name: None, authority: true, ..GOOD };
        let key = || KeyPair::generate().expect("a key");
        let root = CertifiedIssuer::self_signed(issuer.params(&format!("{name} Root")), key()).expect("a root");
        let below = issuer.params(&format!("{name} Intermediate"));
        let intermediate = CertifiedIssuer::signed_by(below, key(), &root).expect("an intermediate");
        Self { root, intermediate }
    }

    /// A server's identity with the whole chain below the root.
    pub fn issue(&self, says: Says) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let own = says.params("a tracker").signed_by(&key, &self.intermediate).expect("a certificate");
        Identity { chain: vec![own.der().clone(), self.intermediate.der().clone()], key }
    }

    pub fn root(&self) -> CertificateDer<'static> {
        self.root.der().clone()
    }

    /// Writes the root to a file as `EGRESS_CA_FILE` wants it.
    pub fn save(&self, path: &Path) {
        std::fs::write(path, self.root.pem()).expect("a file");
    }
}

impl Identity {
    pub fn self_signed(says: Says) -> Self {
        let key = KeyPair::generate().expect("a key");
        let own = says.params("a tracker").self_signed(&key).expect("a certificate");
        Self { chain: vec![own.der().clone()], key }
    }

    /// The server's own certificate as text.
    pub fn pem(&self) -> String {
        let encoded = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, &self.chain[0]);
        format!("-----BEGIN CERTIFICATE-----\n{encoded}\n-----END CERTIFICATE-----\n")
    }

    /// Without the certificates above the server's own.
    pub fn alone(mut self) -> Self {
        self.chain.truncate(1);
        self
    }

    /// With a further certificate at the end.
    pub fn and(mut self, certificate: CertificateDer<'static>) -> Self {
        self.chain.push(certificate);
        self
    }

    /// A server that shows this.
    pub fn server(self) -> Front {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        self.shown_by(builder.expect("versions").with_no_client_auth())
    }

    /// A server that shows this and demands a certificate that `authority` issued.
    pub fn demanding(self, authority: &Authority, versions: &[&'static rustls::SupportedProtocolVersion]) -> Front {
        let mut roots = RootCertStore::empty();
        roots.add(authority.root()).expect("a root");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(versions);
        let verifier = verifier.build().expect("a verifier");
        self.shown_by(builder.expect("versions").with_client_cert_verifier(verifier))
    }

    fn shown_by(self, builder: ConfigBuilder<ServerConfig, WantsServerCert>) -> Front {
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).expect("a key");
        Front::Tls(Arc::new(builder.with_single_cert(self.chain, key).expect("a server")))
    }
}

/// How a host answers what a client says first.
#[derive(Clone)]
pub enum Front {
    /// With TLS, and then as the simulator behind it does.
    Tls(Arc<ServerConfig>),
    /// As the simulator behind it does, without TLS.
    Plain,
    /// With a TLS alert.
    Alert(u8),
    /// It closes the connection.
    HangUp,
    /// It resets the connection.
    Reset,
    /// Not at all.
    Silence,
}

/// Alerts of RFC 8446.
pub const HANDSHAKE_FAILURE: u8 = 40;
pub const PROTOCOL_VERSION: u8 = 70;
pub const UNRECOGNIZED_NAME: u8 = 112;

/// A running front; it stops when dropped.
pub struct TlsFront {
    /// `https://localhost:<port>`
    pub url: String,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl TlsFront {
    /// Stands before the simulator at `target` (`http://host:port`).
    pub async fn before(target: &str, front: Front) -> Self {
        let target = target.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a loopback port");
        let url = format!("https://localhost:{}", listener.local_addr().expect("an address").port());
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                let (target, front) = (target.clone(), front.clone());
                // A client that does not like what it sees hangs up: that is what the tests are about.
                tokio::spawn(async move { drop(Box::pin(carry(client, &target, front)).await) });
            }
        });
        Self { url, connections, task }
    }

    /// How often somebody connected.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(mut client: TcpStream, target: &str, front: Front) -> io::Result<()> {
    match front {
        Front::Tls(config) => {
            let mut client = TlsAcceptor::from(config).accept(client).await?;
            copy_bidirectional(&mut client, &mut TcpStream::connect(target).await?).await?;
            client.shutdown().await
        }
        Front::Plain => copy_bidirectional(&mut client, &mut TcpStream::connect(target).await?).await.map(drop),
        Front::Alert(description) => {
            hello(&mut client).await?;
            client.write_all(&[0x15, 3, 1, 0, 2, 2, description]).await?;
            // Closed before the alert is read, the connection would look reset.
            hello(&mut client).await
        }
        Front::HangUp => {
            hello(&mut client).await?;
            client.shutdown().await
        }
        Front::Reset => {
            hello(&mut client).await?;
            client.set_zero_linger()
        }
        Front::Silence => {
            hello(&mut client).await?;
            tokio::time::sleep(Duration::from_secs(60)).await;
            Ok(())
        }
    }
}

/// What the client says first.
async fn hello(client: &mut TcpStream) -> io::Result<()> {
    let mut bytes = vec![0; 16_384];
    client.read(&mut bytes).await.map(drop)
}
