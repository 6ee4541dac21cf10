//! A full-text index of a directory: words of text files, and the files that have them.
//!
//!     cargo run --release --example search -- words.recto add docs src   (again: only what has changed)
//!     cargo run --release --example search -- words.recto find commit power
//!     cargo run --release --example search -- words.recto find check*    (all words that begin so)

use recto::typed::{SetDef, TypedSet};
use recto::{Database, Result, TableDef, WriteTxn};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::UNIX_EPOCH;

/// Path, seconds of its last change, and length of each file, by number.
const FILES: TableDef<u32, (&str, u64, u64)> = TableDef::new("files");
const BY_PATH: TableDef<&str, u32> = TableDef::new("by_path");
/// The files of a word. Numbers of one size, so that they are packed: four bytes each.
const WORDS: SetDef<&str, u32> = SetDef::new("words");
/// The words of a file, to be taken out when it has changed.
const WORDS_OF: SetDef<u32, &str> = SetDef::new("words_of");

/// Files above this are left alone, as are those that are no text.
const LONGEST: u64 = 4 << 20;

/// What may fail for other reasons than the database.
type Outcome = std::result::Result<(), Box<dyn std::error::Error>>;

fn words(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase);
    words.filter(|word| (2..=40).contains(&word.len())).collect()
}

/// Takes a file out.
fn remove(txn: &mut WriteTxn, number: u32) -> Result<()> {
    let (files, by_path) = (txn.open_typed(&FILES)?, txn.open_typed(&BY_PATH)?);
    let (words, words_of) = (txn.open_typed_set(&WORDS)?, txn.open_typed_set(&WORDS_OF)?);
    if let Some((path, ..)) = files.take(txn, number)? {
        by_path.delete(txn, &path)?;
    }
    // Nothing is collected: the first word goes until there is none.
    while let Some(word) = words_of.view(txn)?.get(number)?.next().transpose()? {
        words.remove(txn, &word, number)?;
        words_of.remove(txn, number, &word)?;
    }
    Ok(())
}

/// Puts a file in, if it is new or has changed since; whether it was.
fn add(txn: &mut WriteTxn, path: &Path) -> std::result::Result<bool, Box<dyn std::error::Error>> {
    let meta = path.metadata()?;
    let changed = meta.modified()?.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let Some(name) = path.to_str().filter(|_| meta.len() <= LONGEST) else { return Ok(false) };
    let (files, by_path) = (txn.open_typed(&FILES)?, txn.open_typed(&BY_PATH)?);
    if let Some(number) = by_path.get(txn, name)? {
        if files.get(txn, number)? == Some((name, changed, meta.len())) {
            return Ok(false);
        }
        remove(txn, number)?;
    }
    let Ok(text) = std::fs::read_to_string(path) else { return Ok(false) };
    let number = files.view(txn)?.last()?.map_or(0, |(last, _)| last + 1);
    files.put(txn, number, (name, changed, meta.len()))?;
    by_path.put(txn, name, number)?;
    let (index, words_of) = (txn.open_typed_set(&WORDS)?, txn.open_typed_set(&WORDS_OF)?);
    for word in words(&text) {
        index.insert(txn, &word, number)?;
        words_of.insert(txn, number, &word)?;
    }
    Ok(true)
}

/// All files below a directory, without following links.
fn walk(dir: &Path, visit: &mut dyn FnMut(&Path) -> Outcome) -> Outcome {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        match entry.file_type()? {
            kind if kind.is_dir() => walk(&entry.path(), visit)?,
            kind if kind.is_file() => visit(&entry.path())?,
            _ => {}
        }
    }
    Ok(())
}

/// One transaction: whoever searches meanwhile finds in the index as it was before.
fn update(db: &Database, dirs: &[&str]) -> Outcome {
    let mut txn = db.write()?;
    let (mut added, mut gone) = (0, 0);
    for dir in dirs {
        walk(dir.as_ref(), &mut |path| {
            added += u32::from(add(&mut txn, path)?);
            Ok(())
        })?;
    }
    // Files that are no more. The cursor borrows nothing, so the table changes below it.
    let mut cursor = txn.open_typed(&FILES)?.cursor(&txn);
    while let Some((number, (path, ..))) = cursor.next(&txn)? {
        if !Path::new(path).exists() {
            remove(&mut txn, number)?;
            gone += 1;
        }
    }
    let files = txn.open_typed(&FILES)?.view(&txn)?.len();
    let words = txn.open_typed_set(&WORDS)?.view(&txn)?.key_count();
    txn.commit()?;
    println!("{added} new or changed, {gone} gone; {files} files, {words} words");
    Ok(())
}

/// The files of a word, or of all words that begin as one with `*` behind it.
fn matches(index: &TypedSet<'_, &str, u32>, word: &str) -> Result<BTreeSet<u32>> {
    let Some(beginning) = word.strip_suffix('*') else { return index.get(word)?.collect() };
    let mut found = BTreeSet::new();
    for word in index.prefix(beginning)? {
        for number in word?.1 {
            found.insert(number?);
        }
    }
    Ok(found)
}

/// Files that have all of the words.
fn find(db: &Database, query: &[&str]) -> Result<()> {
    let txn = db.read()?;
    let (files, index) = (txn.typed(&FILES)?, txn.typed_set(&WORDS)?);
    let mut found: Option<BTreeSet<u32>> = None;
    for word in query {
        let here = matches(&index, &word.to_lowercase())?;
        found = Some(found.map_or(here.clone(), |found| &found & &here));
    }
    for number in found.unwrap_or_default() {
        println!("{}", files.get(number)?.map_or("", |(path, ..)| path));
    }
    Ok(())
}

fn main() -> Outcome {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let [path, verb @ ..] = &args[..] else { return Err("which database?".into()) };
    // SAFETY: nothing but recto changes the file while it is open.
    let db = unsafe { Database::open(path)? };
    match verb {
        ["add", dirs @ ..] => update(&db, dirs)?,
        ["find", words @ ..] => find(&db, words)?,
        _ => return Err("DATABASE, then `add DIRECTORY...` or `find WORD...`".into()),
    }
    Ok(())
}
