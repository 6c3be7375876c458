//! One connection of an uplink, from the first byte to the first error: what goes in, what comes back.

#[cfg(any(feature = "kafka", feature = "kinesis"))]
use crate::forward::Encoding;
use crate::forward::WINDOW;
use anyhow::anyhow;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use windward_protocol::Lane;

/// How long a graceful end may take.
const CLOSE: Duration = Duration::from_secs(1);

/// What happens on a connection.
#[derive(Debug)]
pub(super) enum Event {
    /// It can be sent on.
    Connected,
    /// The other end took the publish with this token.
    PubAck(u64),
    /// The other end refused it; the connection lives.
    Refused(u64),
    /// A message on the ack topic.
    Ack(Vec<u8>),
    /// One on the command topic.
    Order(Vec<u8>),
    /// The end, and why. Nothing follows.
    Gone(String),
}

/// A publish to be sent.
#[derive(Debug)]
pub(super) struct Publish {
    pub(super) token: u64,
    pub(super) lane: Lane,
    pub(super) retain: bool,
    pub(super) payload: Vec<u8>,
}

#[cfg(any(feature = "kafka", feature = "kinesis"))]
impl Publish {
    /// The records that it becomes in a stream: a batch is one, of JSON each line without its end.
    pub(super) fn records(&self, encoding: Encoding) -> Vec<&[u8]> {
        match encoding {
            Encoding::Postcard => vec![&self.payload],
            Encoding::Json => self.payload.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect(),
        }
    }
}

/// An event, with the uplink and the number of the connection it is of.
pub(super) type Numbered = (usize, u64, Event);

/// A connection's way to tell what happens. Its number tells it from earlier ones of the same uplink.
#[derive(Clone, Debug)]
pub(super) struct Teller {
    pub(super) uplink: usize,
    pub(super) number: u64,
    pub(super) events: mpsc::Sender<Numbered>,
}

impl Teller {
    /// Tells it; waits while FORWARD is busy. An error: nobody listens any more.
    pub(super) async fn tell(&self, event: Event) -> anyhow::Result<()> {
        self.events.send((self.uplink, self.number, event)).await.map_err(|_| anyhow!("the agent has stopped"))
    }
}

/// A running connection; dropped, it ends at once.
#[derive(Debug)]
pub(super) struct Session {
    publishes: mpsc::Sender<Publish>,
    task: JoinHandle<()>,
}

impl Session {
    /// Begins one. `converse` carries it until there is nothing to publish any more, or to the first error.
    pub(super) fn start<F>(teller: Teller, converse: impl FnOnce(mpsc::Receiver<Publish>, Teller) -> F) -> Self
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let (publishes, incoming) = mpsc::channel(WINDOW);
        let conversation = converse(incoming, teller.clone());
        let task = tokio::spawn(async move {
            let reason = conversation.await.err().map_or_else(|| "closed".to_owned(), |error| told(&error));
            // Nobody listens any more when the agent has stopped.
            drop(teller.tell(Event::Gone(reason)).await);
        });
        Self { publishes, task }
    }

    /// Has it sent. FORWARD's window is the channel's size; a connection that is gone says so by itself.
    pub(super) fn publish(&self, publish: Publish) {
        drop(self.publishes.try_send(publish));
    }

    /// Ends it in good order: a broker does not publish the last will then.
    pub(super) async fn close(mut self) {
        self.publishes = mpsc::channel(1).0;
        if tokio::time::timeout(CLOSE, &mut self.task).await.is_err() {
            tracing::debug!("a connection did not close in time");
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Has publishes put by calls of their own until there is nothing to publish any more, or to the first call that fails
/// as a whole. FORWARD has at most one of a lane under way: an alert waits for no readings.
#[cfg(any(feature = "kafka", feature = "kinesis"))]
pub(super) async fn put_all<F>(
    mut publishes: mpsc::Receiver<Publish>,
    teller: Teller,
    put: impl Fn(Publish) -> F,
) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<Event>> + Send + 'static,
{
    let mut calls = tokio::task::JoinSet::new();
    let mut is_open = true;
    while is_open || !calls.is_empty() {
        tokio::select! {
            publish = publishes.recv(), if is_open => match publish {
                Some(publish) => drop(calls.spawn(put(publish))),
                None => is_open = false,
            },
            Some(done) = calls.join_next() => teller.tell(done??).await?,
        }
    }
    Ok(())
}

/// An error with its causes, each said once: some libraries repeat the cause in their own words.
fn told(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |said, cause| match said.as_str() {
        "" => cause,
        known if known.contains(&cause) => said,
        _ => format!("{said}: {cause}"),
    })
}
