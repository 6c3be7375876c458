//! TLS from PEM files: rustls with ring.

use crate::config::Tls;
use anyhow::Context as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::sync::Arc;

/// A client's configuration that trusts `files.ca` alone and shows its own certificate where it has one.
pub(super) fn client_config(files: &Tls) -> anyhow::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&files.ca)? {
        roots
            .add(certificate)
            .with_context(|| format!("{} holds a certificate that is no authority", files.ca.display()))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let builder = builder.with_root_certificates(roots);
    let config = match &files.cert_key {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let key_der =
                PrivateKeyDer::from_pem_file(key).with_context(|| format!("no private key in {}", key.display()))?;
            builder
                .with_client_auth_cert(certificates(certificate)?, key_der)
                .with_context(|| format!("{} and {} do not fit", certificate.display(), key.display()))?
        }
    };
    Ok(Arc::new(config))
}

/// The certificates in a PEM file; at least one.
pub(super) fn certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let read = || CertificateDer::pem_file_iter(path)?.collect::<Result<Vec<_>, _>>();
    let certificates = read().with_context(|| format!("no certificates in {}", path.display()))?;
    anyhow::ensure!(!certificates.is_empty(), "no certificates in {}", path.display());
    Ok(certificates)
}
