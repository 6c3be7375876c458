//! Mail against a server that takes what it is given: what arrives is what was meant.

use crate::farm::{FARM, T0, agent, alert};
use std::net::{Ipv4Addr, SocketAddr};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use windward_protocol::AlertPhase;
use windward_sink::config;
use windward_sink::io::mail::Mail;
use windward_sink::notify::{Message, Policy, notices_for};

/// A server for a few clients. `refuses`: it takes no recipient. Gives what each client said.
async fn server(refuses: bool) -> (SocketAddr, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (into, said) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            into.send(talk(stream, refuses).await).unwrap();
        }
    });
    (address, said)
}

async fn talk(stream: TcpStream, refuses: bool) -> String {
    let (mut heard, mut stream) = (String::new(), BufReader::new(stream));
    stream.write_all(b"220 here\r\n").await.unwrap();
    let mut is_data = false;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap() == 0 {
            return heard;
        }
        heard.push_str(&line);
        let answer = match line.trim_end() {
            "." => "250 taken",
            _ if is_data => continue,
            "DATA" => "354 go on",
            line if line.starts_with("RCPT") && refuses => "550 nobody of that name",
            "QUIT" => "221 bye",
            _ => "250 well",
        };
        is_data = answer.starts_with("354");
        stream.write_all(format!("{answer}\r\n").as_bytes()).await.unwrap();
    }
}

fn config(server: SocketAddr) -> config::Mail {
    config::Mail {
        smtp: format!("smtp://{server}"),
        from: "Windward <windward@example.org>".into(),
        to: vec!["crew@example.org".into(), "manager@example.org".into()],
        username: None,
        password_file: None,
    }
}

fn message() -> Message {
    let policy = Policy { targets: ["crew".to_string()].into(), ..Policy::default() };
    let mut alert = alert(42, AlertPhase::Open, T0);
    alert.location = "Höhe 7".into();
    notices_for(FARM, &policy, &agent(), &alert, T0).remove(0).message(None).unwrap()
}

#[tokio::test]
async fn a_mail_says_the_message_to_every_recipient_under_its_own_id() {
    let (address, mut said) = server(false).await;
    let mail = Mail::new(&config(address)).unwrap();
    mail.send(&message()).await.unwrap();
    let said = said.recv().await.unwrap();
    for line in [
        "RCPT TO:<crew@example.org>\r\n",
        "RCPT TO:<manager@example.org>\r\n",
        "From: Windward <windward@example.org>\r\n",
        "Subject: Windward: anomaly at H?he 7 (warning)\r\n",
        "Message-ID: <t1-000000000000002a-open@windward>\r\n",
        "rose by 20 m/s within 1 s\r\n",
        "Wind speed: 31.20 m/s\r\n",
    ] {
        assert!(said.contains(line), "{line:?} in {said}");
    }
}

#[tokio::test]
async fn a_mail_that_is_refused_is_an_error_that_says_so() {
    let (address, _said) = server(true).await;
    let error = Mail::new(&config(address)).unwrap().send(&message()).await.unwrap_err();
    assert!(format!("{error:#}").contains("nobody of that name"), "{error:#}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_an_error_and_not_a_wait() {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap();
    assert!(Mail::new(&config(free)).unwrap().send(&message()).await.is_err());
}
