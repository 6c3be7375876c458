//! Calls that run beside each other, so many at once.

use anyhow::Result;
use tokio::task::JoinSet;

/// Calls under way at once within one commit or question.
const CALLS: usize = 16;

/// Calls under way, and what the finished ones gave, in no order.
pub(super) struct Calls<T> {
    running: JoinSet<Result<T>>,
    done: Vec<T>,
}

impl<T: Send + 'static> Calls<T> {
    pub(super) fn new() -> Self {
        Self { running: JoinSet::new(), done: Vec::new() }
    }

    /// Begins one more, once there is room. An error is that of a call before.
    pub(super) async fn spawn(&mut self, call: impl Future<Output = Result<T>> + Send + 'static) -> Result<()> {
        if self.running.len() == CALLS
            && let Some(done) = self.running.join_next().await
        {
            self.done.push(done??);
        }
        self.running.spawn(call);
        Ok(())
    }

    /// Waits for all.
    pub(super) async fn finish(mut self) -> Result<Vec<T>> {
        while let Some(done) = self.running.join_next().await {
            self.done.push(done??);
        }
        Ok(self.done)
    }
}
