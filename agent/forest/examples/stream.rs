//! Wind and direction of an anemometer, one input a second: a score, what it comes from, and a restart in between.
//!
//! ```text
//! cargo run --release -p windward-forest --example stream
//! ```

use windward_forest::{Attribution, Forest, Options};

const DIMENSIONS: usize = 2;
const SHINGLE: usize = 4;
const NAMES: [&str; DIMENSIONS] = ["wind", "direction"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut forest = Forest::new(Options { dimensions: DIMENSIONS, shingle: SHINGLE, ..Options::default() })?;
    for second in 0..1_800 {
        let mut input = weather(second);
        if second == 1_500 {
            input[0] += 12.0;
        }
        if second == 1_200 {
            forest = restart(&forest)?;
        }
        // The attribution costs more than the score alone: it is asked for only where the score says that it matters.
        if let Some(score) = forest.score(&input)?.filter(|&score| score > 3.0) {
            println!("second {second}: score {score:.2}, {}", explain(&mut forest, &input)?);
        }
        forest.update(&input)?;
    }
    println!("{} points seen, {} KiB", forest.seen(), forest.bytes() / 1_024);
    Ok(())
}

/// What a process does that ends and starts again; the forest goes on with the same scores to the bit.
fn restart(forest: &Forest) -> Result<Forest, Box<dyn std::error::Error>> {
    let mut state = Vec::new();
    forest.save(&mut state);
    println!("saved {} KiB", state.len() / 1_024);
    Ok(Forest::restore(&state)?)
}

/// The number that adds most to the score: its name, how many seconds ago it came, and the side it is off to.
fn explain(forest: &mut Forest, input: &[f32]) -> Result<String, Box<dyn std::error::Error>> {
    let mut shares = [Attribution::default(); DIMENSIONS * SHINGLE];
    forest.attribution(input, &mut shares)?;
    let total = |share: &Attribution| share.above + share.below;
    let largest = (0..shares.len()).max_by(|&a, &b| total(&shares[a]).total_cmp(&total(&shares[b]))).unwrap_or(0);
    let (seconds_ago, name) = (SHINGLE - 1 - largest / DIMENSIONS, NAMES[largest % DIMENSIONS]);
    let side = if shares[largest].above > shares[largest].below { "high" } else { "low" };
    Ok(format!("{name} {seconds_ago} s ago too {side} ({:.2} of it)", total(&shares[largest])))
}

/// Wind in m/s around 9, and its direction's way off the mean in steps of 5 degrees, made up of waves that do not come
/// again. A cut falls on a number the oftener the more it spreads, so the two are brought to about the same spread.
fn weather(second: u32) -> [f32; DIMENSIONS] {
    let time = second as f32;
    let gusts = (time * 0.11).sin() + 0.6 * (time * 0.731).sin() + 0.4 * (time * 2.337).sin();
    [9.0 + gusts, (time * 0.053).sin() + 0.4 * (time * 1.713).sin()]
}
