//! The service over a real connection: `cargo test` in this directory.

use super::*;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

/// Status and body of one request.
fn ask(address: SocketAddr, method: &str, path: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nHost: test\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[test]
fn notes_are_put_listed_and_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notes.recto");
    // SAFETY: nothing but recto changes the file while it is open.
    let db = unsafe { Database::open(&path).unwrap() };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_io().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(axum::serve(listener, service(db.clone())).into_future());

    assert_eq!(ask(address, "GET", "/notes", ""), (200, String::new()));
    assert_eq!(ask(address, "GET", "/notes/today", "").0, 404);
    let before = db.read().unwrap().id();
    let changes = format!("/changes/{before}");
    let waiting = std::thread::spawn(move || ask(address, "GET", &changes, ""));
    assert_eq!(ask(address, "PUT", "/notes/today", "buy milk").0, 201);
    let (status, newest) = waiting.join().unwrap();
    assert!(status == 200 && newest.trim().parse::<u64>().unwrap() > before, "{newest}");
    assert_eq!(ask(address, "PUT", "/notes/today", "buy tea").0, 204);
    assert_eq!(ask(address, "GET", "/notes/today", ""), (200, "buy tea".into()));
    // More than one piece of a list.
    let long = "x".repeat(10_000);
    for n in 0..5 {
        assert_eq!(ask(address, "PUT", &format!("/notes/{n}"), &long).0, 201);
    }
    let (status, list) = ask(address, "GET", "/notes", "");
    assert_eq!(status, 200);
    assert_eq!(list.lines().count(), 6);
    assert!(list.starts_with("0\txxx") && list.ends_with("today\tbuy tea\n"));
    assert_eq!(ask(address, "PUT", &format!("/notes/{}", "k".repeat(3000)), "").0, 414);
    assert_eq!(ask(address, "DELETE", "/notes/today", "").0, 204);
    assert_eq!(ask(address, "DELETE", "/notes/today", "").0, 404);
    runtime.shutdown_timeout(Duration::from_secs(10));
    drop(db);
    assert!(recto::check_file(&path, None).unwrap().is_clean());
}
