//! Connections: bounded in number, and none is waited for.

use super::door::Peer;
use crate::io::Stop;
use anyhow::{Context as _, Result, anyhow};
use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::net::sockopt::set_tcp_user_timeout;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// Most connections at a time: all pages that may be open, and room for what they ask.
const MAX_CONNECTIONS: usize = 2_000;
/// How long a client has for its TLS handshake and for the head of a request. An idle connection ends then.
const HEAD: Duration = Duration::from_secs(15);
/// How long what was sent may stay unread.
const UNREAD_MS: u32 = 30_000;
/// Longest pause after an accept that failed, for want of file handles.
const PAUSE: Duration = Duration::from_millis(100);

/// TLS with this certificate chain and key.
pub(in crate::io) fn tls(cert: &Path, key: &Path) -> Result<TlsAcceptor> {
    let file = |path: &Path| path.display().to_string();
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(|found| found.collect::<Result<Vec<_>, _>>())
        .map_err(|error| anyhow!("http.cert: {}: {error}", file(cert)))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| anyhow!("http.key: {}: {error}", file(key)))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("http.cert and http.key do not go together")?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Serves until the sink quits.
pub(in crate::io) async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    app: Router,
    mut stop: watch::Receiver<Stop>,
) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        // A client beyond the last waits until another goes.
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop == Stop::Quit) => break,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, from)) => {
                let (tls, app, stop) = (tls.clone(), app.clone(), stop.clone());
                connections.spawn(async move {
                    if let Err(error) = connection(stream, from, tls, app, stop).await {
                        tracing::debug!(%from, "page and API: {error:#}");
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!("page and API: {error}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    while connections.join_next().await.is_some() {}
}

async fn connection(
    stream: TcpStream,
    from: SocketAddr,
    tls: Option<TlsAcceptor>,
    app: Router,
    stop: watch::Receiver<Stop>,
) -> Result<()> {
    stream.set_nodelay(true)?;
    set_tcp_user_timeout(&stream, UNREAD_MS)?;
    match tls {
        None => talk(stream, from, app, stop).await,
        Some(tls) => {
            let stream =
                tokio::time::timeout(HEAD, tls.accept(stream)).await.context("the handshake takes too long")??;
            talk(stream, from, app, stop).await
        }
    }
}

async fn talk(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    from: SocketAddr,
    app: Router,
    mut stop: watch::Receiver<Stop>,
) -> Result<()> {
    let (app, peer) = (TowerToHyperService::new(app.into_service::<Incoming>()), Peer(from.ip().to_canonical()));
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        app.call(request)
    });
    let talk = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(talk);
    tokio::select! {
        ended = talk.as_mut() => return Ok(ended?),
        _ = stop.wait_for(|stop| *stop == Stop::Quit) => {}
    }
    // The request that is under way is answered.
    talk.as_mut().graceful_shutdown();
    Ok(talk.await?)
}
