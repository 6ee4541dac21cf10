//! A web service: notes by name, a list that is streamed from one snapshot, and waiting for changes.
//!
//!     cd examples/web && cargo run --release -- notes.recto 127.0.0.1:8000
//!     curl -X PUT --data 'buy milk' http://127.0.0.1:8000/notes/today
//!     curl http://127.0.0.1:8000/notes/today
//!     curl http://127.0.0.1:8000/notes           (a line for each)
//!     curl http://127.0.0.1:8000/changes/0       (the newest transaction, once there is a newer one)
//!
//! Any number of these may serve one file, beside `kvtool` and whatever else has it open.
//!
//! Reads begin in the handlers: they take no lock and no system call. They may wait for the device
//! where pages are not in memory; a service whose data does not fit there moves them to
//! `spawn_blocking` too, where writes, which wait for a flush, are in any case.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::stream;
use recto::{Database, OwnedTypedRange, TableDef};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::spawn_blocking;

const NOTES: TableDef<&str, &[u8]> = TableDef::new("notes");

/// An error of the database as a response.
struct Failure(recto::Error);

impl From<recto::Error> for Failure {
    fn from(error: recto::Error) -> Failure {
        Failure(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = match self.0.kind() {
            recto::ErrorKind::KeyTooLong => StatusCode::URI_TOO_LONG,
            recto::ErrorKind::ReadersFull => StatusCode::SERVICE_UNAVAILABLE,
            recto::ErrorKind::DiskFull | recto::ErrorKind::DatabaseFull => {
                StatusCode::INSUFFICIENT_STORAGE
            }
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, format!("{}\n", self.0)).into_response()
    }
}

type Answer<T> = std::result::Result<T, Failure>;

async fn get_note(State(db): State<Database>, Path(name): Path<String>) -> Answer<Response> {
    let txn = db.read()?;
    let note = match txn.typed_opt(&NOTES)? {
        Some(notes) => notes.get(&name)?.map(Bytes::copy_from_slice),
        None => None,
    };
    Ok(note.map_or_else(|| StatusCode::NOT_FOUND.into_response(), Bytes::into_response))
}

/// Notes that come at the same time share a commit, and with it a flush of the device.
async fn put_note(
    State(db): State<Database>,
    Path(name): Path<String>,
    note: Bytes,
) -> Answer<StatusCode> {
    let put = move || db.batch(move |txn| txn.typed_mut(&NOTES)?.put(&name, &note));
    let was_there = spawn_blocking(put).await.expect("it does not panic")?;
    Ok(if was_there { StatusCode::NO_CONTENT } else { StatusCode::CREATED })
}

async fn delete_note(State(db): State<Database>, Path(name): Path<String>) -> Answer<StatusCode> {
    let delete = move || db.batch(move |txn| txn.typed_mut(&NOTES)?.delete(&name));
    let was_there = spawn_blocking(delete).await.expect("it does not panic")?;
    Ok(if was_there { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND })
}

/// A list on its way to a client: a range that keeps its snapshot and has no lifetime. What is put
/// meanwhile is not in it, and however slow the client is, nobody waits for it; pages that it can
/// see are not used again until it is dropped.
struct List(OwnedTypedRange<&'static str, &'static [u8]>);

impl Iterator for List {
    type Item = recto::Result<Bytes>;

    /// The next lines, 16 KiB or more but for the last ones.
    fn next(&mut self) -> Option<recto::Result<Bytes>> {
        let mut lines = Vec::new();
        while lines.len() < 16 << 10 {
            match self.0.next_ref() {
                Ok(Some((name, note))) => {
                    lines.extend_from_slice(name.as_bytes());
                    lines.push(b'\t');
                    lines.extend(note.escape_ascii());
                    lines.push(b'\n');
                }
                Ok(None) => break,
                Err(e) => return Some(Err(e)),
            }
        }
        (!lines.is_empty()).then(|| Ok(lines.into()))
    }
}

async fn list_notes(State(db): State<Database>) -> Answer<Body> {
    Ok(match Arc::new(db.read()?).owned_typed_opt(&NOTES)? {
        Some(notes) => Body::from_stream(stream::iter(List(notes.iter()?))),
        None => Body::empty(), // nobody has put anything yet
    })
}

/// Answers when a transaction newer than this one is there, of any process, or after half a minute.
async fn changes(State(db): State<Database>, Path(after): Path<u64>) -> Answer<String> {
    let wait = move || db.wait_for_commit(after, Some(Duration::from_secs(30)));
    let newest = spawn_blocking(wait).await.expect("it does not panic")?;
    Ok(format!("{newest}\n"))
}

fn service(db: Database) -> Router {
    Router::new()
        .route("/notes", get(list_notes))
        .route("/notes/{name}", get(get_note).put(put_note).delete(delete_note))
        .route("/changes/{after}", get(changes))
        .with_state(db)
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let path = args.next().unwrap_or_else(|| "notes.recto".into());
    let address = args.next().unwrap_or_else(|| "127.0.0.1:8000".into());
    // SAFETY: nothing but recto changes the file while it is open.
    let db = unsafe { Database::open(path)? };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_io().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(&address).await?;
        println!("listening on {}", listener.local_addr()?);
        Ok(axum::serve(listener, service(db)).await?)
    })
}

#[cfg(test)]
mod tests;
