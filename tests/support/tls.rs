//! A server of TLS in front of the embedded one, and the certificates for it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use oss_append::emulator::Emulator;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    date_time_ymd,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::server::{NoClientAuth, WebPkiClientVerifier};
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

/// Signs certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    /// The authority's own certificate in PEM, by which it is trusted.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for a client, and its key, in PEM.
    pub fn client_certificate(&self) -> (String, String) {
        let mut params = CertificateParams::new(["client".to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// A server's identity for this name.
    pub fn identity(&self, name: &str) -> Identity {
        self.sign(CertificateParams::new([name.to_owned()]).unwrap())
    }

    /// An identity whose time is over.
    pub fn expired(&self, name: &str) -> Identity {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
        self.sign(params)
    }

    /// An identity that asks clients for a certificate of this authority.
    pub fn asking(&self, name: &str) -> Identity {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        self.sign_for(params, verifier.build().unwrap())
    }

    fn sign(&self, params: CertificateParams) -> Identity {
        self.sign_for(params, Arc::new(NoClientAuth))
    }

    fn sign_for(
        &self,
        params: CertificateParams,
        clients: Arc<dyn ClientCertVerifier>,
    ) -> Identity {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(clients)
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        Identity(Arc::new(config))
    }
}

/// A certificate with its key, ready to serve.
#[derive(Clone)]
pub struct Identity(Arc<ServerConfig>);

/// Takes TLS off and passes on to the embedded server.
pub struct TlsServer {
    pub address: SocketAddr,
    identity: Arc<Mutex<Identity>>,
    connections: Arc<AtomicUsize>,
    /// What was passed on, and is aborted by a change of the identity.
    streams: Arc<Mutex<JoinSet<()>>>,
    _tasks: JoinSet<()>,
}

impl TlsServer {
    pub async fn start(emulator: &Emulator, identity: Identity) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut server = Self {
            address: listener.local_addr().unwrap(),
            identity: Arc::new(Mutex::new(identity)),
            connections: Arc::default(),
            streams: Arc::default(),
            _tasks: JoinSet::new(),
        };
        let (identity, streams) = (Arc::clone(&server.identity), Arc::clone(&server.streams));
        let connections = Arc::clone(&server.connections);
        let upstream = emulator.address();
        server._tasks.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::Relaxed);
                let acceptor = TlsAcceptor::from(identity.lock().unwrap().0.clone());
                streams.lock().unwrap().spawn(async move {
                    // A client that refuses the certificate, or leaves, is an error here.
                    if let Ok(mut client) = acceptor.accept(stream).await {
                        let mut server = TcpStream::connect(upstream).await.unwrap();
                        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                    }
                });
            }
        });
        server
    }

    /// Breaks all connections without a farewell, and is somebody else from now on.
    pub async fn become_other(&self, identity: Identity) {
        *self.identity.lock().unwrap() = identity;
        let mut streams = std::mem::take(&mut *self.streams.lock().unwrap());
        streams.shutdown().await;
    }

    /// How many connections there were, with or without success.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}
