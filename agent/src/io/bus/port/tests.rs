//! Echo and rubbish on a line, from the side of the client library.

use super::*;
use proptest::prelude::*;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// A clean port, and the other end of its line.
async fn pair() -> (CleanPort, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (far, _) = listener.accept().await.unwrap();
    far.set_nodelay(true).unwrap();
    (CleanPort::new(Port::Tcp(near)), far)
}

/// What is read after `request` was written, when the line brings `chunks` one after another.
async fn read_after(request: &[u8], chunks: &[&[u8]], expect: usize) -> Vec<u8> {
    let (mut port, mut far) = pair().await;
    port.write_all(request).await.unwrap();
    let mut asked = vec![0; request.len()];
    far.read_exact(&mut asked).await.unwrap();
    assert_eq!(asked, request);
    let mut read = Vec::new();
    for chunk in chunks {
        far.write_all(chunk).await.unwrap();
        far.flush().await.unwrap();
        // Lets the chunk be taken alone; nothing depends on whether it is.
        let mut byte = [0; 64];
        if let Ok(count) = tokio::time::timeout(Duration::from_millis(5), port.read(&mut byte)).await {
            read.extend_from_slice(&byte[..count.unwrap()]);
        }
    }
    while read.len() < expect {
        let mut bytes = [0; 64];
        let count = tokio::time::timeout(Duration::from_secs(10), port.read(&mut bytes)).await.unwrap().unwrap();
        read.extend_from_slice(&bytes[..count]);
    }
    read
}

const REQUEST: [u8; 8] = [1, 3, 0, 0, 0, 2, 0xc4, 0x0b];
const ANSWER: [u8; 9] = [1, 3, 4, 0, 7, 0, 8, 0x7a, 0x34];

#[tokio::test]
async fn the_echo_of_a_read_is_taken_off_and_an_answer_without_one_is_whole() {
    let echoed = [&REQUEST[..], &ANSWER].concat();
    assert_eq!(read_after(&REQUEST, &[&echoed], 9).await, ANSWER);
    assert_eq!(read_after(&REQUEST, &[&REQUEST[..3], &echoed[3..12], &ANSWER[4..]], 9).await, ANSWER);
    assert_eq!(read_after(&REQUEST, &[&ANSWER], 9).await, ANSWER);
    assert_eq!(read_after(&REQUEST, &[&ANSWER[..2], &ANSWER[2..]], 9).await, ANSWER);
}

#[tokio::test]
async fn the_answer_to_a_write_repeats_it_and_is_left_alone() {
    let write = [1, 5, 0, 3, 0xff, 0, 0x7c, 0x3a];
    assert_eq!(read_after(&write, &[&write], 8).await, write);
}

#[tokio::test]
async fn what_came_before_a_request_is_thrown_away() {
    let (mut port, mut far) = pair().await;
    far.write_all(&ANSWER).await.unwrap();
    // Known to have arrived before the request is written.
    let Port::Tcp(near) = &port.port else { panic!("a TCP line") };
    near.readable().await.unwrap();
    port.write_all(&REQUEST).await.unwrap();
    let fresh = [1, 3, 4, 0, 9, 0, 9, 1, 2];
    far.write_all(&fresh).await.unwrap();
    let mut read = [0; 9];
    port.read_exact(&mut read).await.unwrap();
    assert_eq!(read, fresh);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn an_answer_comes_through_whole_however_it_is_cut(
        echoes in any::<bool>(),
        data in prop::collection::vec(any::<u8>(), 1..20),
        cuts in prop::collection::btree_set(1usize..30, 0..4),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let answer = [&[1, 3, data.len() as u8], &data[..]].concat();
        let bytes = if echoes { [&REQUEST[..], &answer].concat() } else { answer.clone() };
        let mut chunks = Vec::new();
        let mut rest = &bytes[..];
        for cut in cuts {
            let (chunk, more) = rest.split_at(cut.min(rest.len()));
            chunks.push(chunk);
            rest = more;
        }
        chunks.push(rest);
        chunks.retain(|chunk| !chunk.is_empty());
        let read = runtime.block_on(read_after(&REQUEST, &chunks, answer.len()));
        prop_assert_eq!(read, answer);
    }
}
