//! The link between agents and broker, which can be cut: a TCP proxy.

use std::net::SocketAddr;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A link that stands until it is cut, and again when it is restored. Lives as long as the runtime.
#[derive(Debug)]
pub struct Link {
    addr: SocketAddr,
    up: watch::Sender<bool>,
}

impl Link {
    /// A link to `to`, from a free port on loopback.
    pub async fn start(to: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let addr = listener.local_addr()?;
        let (up, is_up) = watch::channel(true);
        tokio::spawn(async move {
            loop {
                match listener.accept().await {
                    // While the link is cut, a connection ends as soon as it began.
                    Ok((near, _)) if *is_up.borrow() => drop(tokio::spawn(carry(near, to, is_up.clone()))),
                    Ok(_) => {}
                    Err(error) => {
                        tracing::error!(%error, "the simulated link cannot accept");
                        return;
                    }
                }
            }
        });
        Ok(Self { addr, up })
    }

    /// Where to connect to.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Whether it stands.
    pub fn is_up(&self) -> bool {
        *self.up.borrow()
    }

    /// Cuts it, with everything that is under way on it, or restores it.
    pub fn set(&self, up: bool) {
        self.up.send_replace(up);
    }
}

async fn carry(mut near: TcpStream, to: SocketAddr, mut is_up: watch::Receiver<bool>) {
    let Ok(mut far) = TcpStream::connect(to).await else { return };
    tokio::select! {
        // Either end's going is the end, and no error of the link.
        _ended = copy_bidirectional(&mut near, &mut far) => {}
        _cut = is_up.wait_for(|up| !up) => {}
    }
}
