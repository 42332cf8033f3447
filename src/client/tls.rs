//! Whom connections trust, and what they show of themselves.

use zeroize::Zeroizing;

use crate::error::{Error, Result};

#[cfg(all(feature = "rustls", not(feature = "native-tls")))]
pub(super) use self::rustls::Tls;
// With both features reqwest takes native-tls.
#[cfg(any(feature = "native-tls", not(feature = "rustls")))]
pub(super) use self::other::Tls;

/// The certificates of the options, in PEM.
#[derive(Clone)]
pub(super) struct Certificates {
    pub(super) roots: Vec<Vec<u8>>,
    pub(super) platform_roots: bool,
    pub(super) identity: Option<Identity>,
}

/// What the client shows of itself, in PEM.
#[cfg_attr(
    not(any(feature = "rustls", feature = "native-tls")),
    allow(dead_code, reason = "nothing reads it without TLS")
)]
#[derive(Clone)]
pub(super) struct Identity {
    pub(super) certificates: Vec<u8>,
    pub(super) key: Zeroizing<Vec<u8>>,
}

impl Default for Certificates {
    fn default() -> Self {
        Self {
            roots: Vec::new(),
            platform_roots: true,
            identity: None,
        }
    }
}

impl Certificates {
    /// Those of a client that never uses TLS: nothing is read, and nobody trusted.
    pub(super) fn unused() -> Self {
        Self {
            platform_roots: false,
            ..Self::default()
        }
    }

    /// None are given.
    pub(super) fn are_none(&self) -> bool {
        self.roots.is_empty() && self.identity.is_none()
    }

    pub(super) fn check(&self) -> Result<()> {
        match self.roots.is_empty() && !self.platform_roots {
            true => Err(Error::invalid_input(
                "without platform_roots, and with no root_certificates, no server is trusted",
            )),
            false => Ok(()),
        }
    }
}

/// What the library says of it is not repeated: it may show the key.
#[cfg(any(feature = "rustls", feature = "native-tls"))]
fn malformed_identity() -> Error {
    Error::invalid_input(
        "the client certificate is not what is needed: PEM blocks of type CERTIFICATE, the \
         client's own first, and a key in a PEM block of type PRIVATE KEY (PKCS #8)",
    )
}

#[cfg(any(feature = "rustls", feature = "native-tls"))]
fn no_root() -> Error {
    Error::invalid_input("the root certificates have no PEM block of type CERTIFICATE")
}

#[cfg(any(feature = "rustls", feature = "native-tls"))]
const MALFORMED_ROOTS: &str = "the root certificates are no PEM";

/// TLS by rustls: one configuration for the HTTP client and for lanes.
#[cfg(all(feature = "rustls", not(feature = "native-tls")))]
mod rustls {
    use std::io;
    use std::sync::Arc;

    use rustls_platform_verifier::Verifier;
    use tokio_rustls::TlsConnector;
    use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
    use tokio_rustls::rustls::pki_types::pem::PemObject as _;
    use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
    use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

    use super::{Certificates, Identity, MALFORMED_ROOTS, malformed_identity, no_root};
    use crate::client::lane::Stream;
    use crate::error::{Error, Result};

    #[derive(Clone)]
    pub(in crate::client) struct Tls {
        config: Arc<ClientConfig>,
    }

    impl Tls {
        pub(in crate::client) fn new(certificates: &Certificates) -> Result<Self> {
            let failed = |error: rustls::Error| {
                Error::invalid_input("TLS could not be set up").with_source(error)
            };
            // A program may have installed its own.
            let provider = CryptoProvider::get_default().cloned();
            let provider = provider.unwrap_or_else(|| Arc::new(aws_lc_rs::default_provider()));
            let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
                .with_safe_default_protocol_versions()
                .map_err(failed)?;
            let roots = certificates.read_roots()?;
            let builder = if certificates.platform_roots {
                let verifier = platform(roots, provider).map_err(without_platform)?;
                (builder.dangerous()).with_custom_certificate_verifier(Arc::new(verifier))
            } else {
                let mut store = RootCertStore::empty();
                for root in roots {
                    store.add(root).map_err(failed)?;
                }
                builder.with_root_certificates(store)
            };
            let mut config = match &certificates.identity {
                None => builder.with_no_client_auth(),
                Some(identity) => {
                    let (certificates, key) = identity.read()?;
                    (builder.with_client_auth_cert(certificates, key))
                        .map_err(|_| malformed_identity())?
                }
            };
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            Ok(Self {
                config: Arc::new(config),
            })
        }

        pub(in crate::client) fn apply(
            &self,
            builder: reqwest::ClientBuilder,
        ) -> Result<reqwest::ClientBuilder> {
            Ok(builder.tls_backend_preconfigured(ClientConfig::clone(&self.config)))
        }

        /// Whether lanes can use it.
        pub(in crate::client) fn is_for_lanes(&self) -> bool {
            true
        }

        /// TLS with `host` over a connection.
        pub(in crate::client) async fn secure(
            &self,
            host: &str,
            stream: Box<dyn Stream>,
        ) -> io::Result<Box<dyn Stream>> {
            // As in a URL.
            let host = host.trim_start_matches('[').trim_end_matches(']');
            let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
            let connector = TlsConnector::from(Arc::clone(&self.config));
            Ok(Box::new(connector.connect(name, stream).await?))
        }
    }

    fn without_platform(error: rustls::Error) -> Error {
        let reason = "the platform's root certificates cannot be read, and TLS needs some: install \
                      them (on Linux the package ca-certificates, or SSL_CERT_FILE names a file), \
                      or set root_certificates and switch platform_roots off";
        Error::invalid_input(reason).with_source(error)
    }

    #[cfg(not(target_os = "android"))]
    fn platform(
        roots: Vec<CertificateDer<'static>>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Verifier, rustls::Error> {
        Verifier::new_with_extra_roots(roots, provider)
    }

    #[cfg(target_os = "android")]
    fn platform(
        roots: Vec<CertificateDer<'static>>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Verifier, rustls::Error> {
        match roots.is_empty() {
            true => Verifier::new(provider),
            false => Err(rustls::Error::General(
                "Android's verifier takes no root certificates beside its own".into(),
            )),
        }
    }

    impl Certificates {
        fn read_roots(&self) -> Result<Vec<CertificateDer<'static>>> {
            let mut roots = Vec::new();
            for pem in &self.roots {
                let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
                let found = found
                    .map_err(|error| Error::invalid_input(MALFORMED_ROOTS).with_source(error))?;
                if found.is_empty() {
                    return Err(no_root());
                }
                roots.extend(found);
            }
            Ok(roots)
        }
    }

    impl Identity {
        fn read(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
            let certificates = CertificateDer::pem_slice_iter(&self.certificates);
            let certificates: Result<Vec<_>, _> = certificates.collect();
            let key = PrivateKeyDer::from_pem_slice(&self.key);
            match (certificates, key) {
                (Ok(certificates), Ok(key)) if !certificates.is_empty() => Ok((certificates, key)),
                _ => Err(malformed_identity()),
            }
        }
    }
}

/// TLS by the platform's library, which the HTTP client uses alone, or none.
#[cfg(any(feature = "native-tls", not(feature = "rustls")))]
mod other {
    use std::io;

    use super::Certificates;
    use crate::client::lane::Stream;
    use crate::error::{Error, Result};

    #[derive(Clone)]
    pub(in crate::client) struct Tls {
        #[cfg(feature = "native-tls")]
        certificates: Certificates,
    }

    impl Tls {
        #[cfg(feature = "native-tls")]
        pub(in crate::client) fn new(certificates: &Certificates) -> Result<Self> {
            Ok(Self {
                certificates: certificates.clone(),
            })
        }

        #[cfg(not(feature = "native-tls"))]
        pub(in crate::client) fn new(certificates: &Certificates) -> Result<Self> {
            let none = certificates.roots.is_empty() && certificates.identity.is_none();
            match none {
                true => Ok(Self {}),
                false => Err(Error::invalid_input(
                    "certificates need one of the features rustls and native-tls",
                )),
            }
        }

        #[cfg(feature = "native-tls")]
        pub(in crate::client) fn apply(
            &self,
            mut builder: reqwest::ClientBuilder,
        ) -> Result<reqwest::ClientBuilder> {
            use super::{MALFORMED_ROOTS, malformed_identity, no_root};

            let mut roots = Vec::new();
            for pem in &self.certificates.roots {
                let found = reqwest::Certificate::from_pem_bundle(pem)
                    .map_err(|error| Error::invalid_input(MALFORMED_ROOTS).with_source(error))?;
                if found.is_empty() {
                    return Err(no_root());
                }
                roots.extend(found);
            }
            builder = match self.certificates.platform_roots {
                true => builder.tls_certs_merge(roots),
                false => builder.tls_certs_only(roots),
            };
            if let Some(identity) = &self.certificates.identity {
                let read = reqwest::Identity::from_pkcs8_pem(&identity.certificates, &identity.key);
                builder = builder.identity(read.map_err(|_| malformed_identity())?);
            }
            Ok(builder)
        }

        #[cfg(not(feature = "native-tls"))]
        pub(in crate::client) fn apply(
            &self,
            builder: reqwest::ClientBuilder,
        ) -> Result<reqwest::ClientBuilder> {
            Ok(builder)
        }

        /// Whether lanes can use it.
        pub(in crate::client) fn is_for_lanes(&self) -> bool {
            false
        }

        pub(in crate::client) async fn secure(
            &self,
            _: &str,
            _: Box<dyn Stream>,
        ) -> io::Result<Box<dyn Stream>> {
            Err(io::ErrorKind::Unsupported.into())
        }
    }
}
