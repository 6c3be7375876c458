//! A line between a client and a server: slow, cut when told to, and with an ear for what the client says.

use crate::clock;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

/// Chunks on their way in one direction; when it is full, the sender waits.
const ON_THE_WAY: usize = 4_096;

/// The line. Lives as long as the runtime.
#[derive(Debug)]
pub struct Tap {
    addr: SocketAddr,
    cuts: watch::Sender<u64>,
    heard: Arc<Mutex<Vec<Vec<Piece>>>>,
}

/// Bytes, and when they were heard.
type Piece = (Instant, Vec<u8>);

impl Tap {
    /// A line to `to`, from a free port on loopback, on which every byte takes this long in either direction.
    pub async fn start(to: SocketAddr, delay: Duration) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let addr = listener.local_addr()?;
        let (cuts, cut) = watch::channel(0);
        let heard = Arc::new(Mutex::new(Vec::new()));
        let said = heard.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let number = {
                    let mut heard = said.lock().unwrap_or_else(PoisonError::into_inner);
                    heard.push(Vec::new());
                    heard.len() - 1
                };
                let (said, mut cut) = (said.clone(), cut.clone());
                cut.mark_unchanged();
                let ear = move |bytes: &[u8]| {
                    let piece = (clock::now(), bytes.to_vec());
                    said.lock().unwrap_or_else(PoisonError::into_inner)[number].push(piece);
                };
                tokio::spawn(async move {
                    let Ok(far) = TcpStream::connect(to).await else { return };
                    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
                    tokio::select! {
                        // Either end's going is the end of both directions, and no error of the line.
                        () = carry(near_in, far_out, delay, ear) => {}
                        () = carry(far_in, near_out, delay, |_| {}) => {}
                        _cut = cut.changed() => {}
                    }
                });
            }
        });
        Ok(Self { addr, cuts, heard })
    }

    /// Where to connect to.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Cuts all connections with what is under way on them. New ones may come at once.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// What the client has said so far, a connection each: in pieces, and when each was heard.
    pub fn heard(&self) -> Vec<Vec<(Instant, Vec<u8>)>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    delay: Duration,
    ear: impl Fn(&[u8]),
) {
    let (send, mut due) = mpsc::channel::<(Instant, Vec<u8>)>(ON_THE_WAY);
    let read = async {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(len @ 1..) = from.read(&mut buffer).await {
            ear(&buffer[..len]);
            if send.send((clock::now() + delay, buffer[..len].to_vec())).await.is_err() {
                return;
            }
        }
        drop(send);
    };
    let write = async {
        while let Some((at, bytes)) = due.recv().await {
            tokio::time::sleep_until(at.into()).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(read, write);
}
