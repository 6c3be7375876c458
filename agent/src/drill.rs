//! The drill's core: what is written, what must become of it, and what is said in the end. Pure: the shell
//! ([`crate::io::drill`]) runs the agent's second half as a process of its own, kills it, and plays the sink.
//!
//! Rows name themselves: their time is their number, and their readings follow from it ([`rows`]). So the sink's side
//! knows of everything that arrives whether it is what was written, and of everything that was said to be safe whether
//! it has arrived ([`Books`]). What the agent says counts once it is said, and it is not believed afterwards: what was
//! kept before a kill must be there after it.

mod books;
mod plan;
mod report;
pub mod rows;
mod said;
mod wrong;

pub use books::{Books, Tally};
pub use plan::{CHOICES_MS, Plan, Speed};
pub use report::{Report, Starts};
pub use said::{Ask, Begin, Fault, Held, Say, Status};
pub use wrong::{Wrong, Wrongs};

#[cfg(test)]
mod tests;
