//! How downloads and remote stores present themselves, and whom they trust.

use std::sync::{Arc, LazyLock};

use ureq::config::ConfigBuilder;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::typestate::AgentScope;

/// Whom TLS trusts: the authorities of the machine, for an organisation's own is among them, and Mozilla's
/// beside them, for a bare container has none.
static AUTHORITIES: LazyLock<Arc<Vec<Certificate<'static>>>> = LazyLock::new(|| {
    // What cannot be read of the machine's leaves Mozilla's.
    let own = rustls_native_certs::load_native_certs().certs;
    let own = own
        .iter()
        .map(|certificate| Certificate::from_der(certificate).to_owned());
    let common = webpki_root_certs::TLS_SERVER_ROOT_CERTS
        .iter()
        .map(|certificate| Certificate::from_der(certificate));
    Arc::new(own.chain(common).collect())
});

/// What all clients have in common: no status is an error by itself, and bytes come as they are kept, whatever
/// compression a server offers. The proxy is the one that the environment names.
pub(crate) fn configuration() -> ConfigBuilder<AgentScope> {
    let authorities = RootCerts::Specific(Arc::clone(&AUTHORITIES));
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .user_agent(concat!("erlen/", env!("CARGO_PKG_VERSION")))
        .accept_encoding("identity")
        .tls_config(TlsConfig::builder().root_certs(authorities).build())
}
