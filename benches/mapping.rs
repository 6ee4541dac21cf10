//! What a mapped file costs: the figures of docs/mapping.md, measured on a file of its own without the engine.
//!
//!     cargo bench -p recto-benches --bench mapping -- [--dir DIR] [--mib N]
//!
//! DIR must lie on a disk: tmpfs syncs nothing. Without `--bench` it runs once on a small file, as a test.

use memmap2::{MmapOptions, MmapRaw};
use std::error::Error;
use std::fs::File;
use std::hint::black_box;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

type Outcome<T> = Result<T, Box<dyn Error>>;

const PAGE: usize = 4096;

fn main() -> Outcome<()> {
    let (mut dir, mut mib, mut rounds) = (std::env::temp_dir(), 4, 3);
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    if args.iter().any(|a| a == "--bench") {
        (dir, mib, rounds) = (std::env::current_dir()?.join("target"), 512, 200);
        args.retain(|a| a != "--bench");
        for pair in args.chunks(2) {
            match pair {
                [name, value] if name == "--dir" => dir = PathBuf::from(value),
                [name, value] if name == "--mib" => mib = value.parse()?,
                other => return Err(format!("unknown arguments: {other:?}").into()),
            }
        }
    }
    std::fs::create_dir_all(&dir)?;
    let file = small_folios(&dir, mib)?;
    println!("file of {mib} MiB, all of it in the page cache; {rounds} syncs of each kind");
    map_and_unmap(&file)?;
    first_and_later_loads(&file)?;
    stores_and_syncs(&file, rounds)?;
    copies(&file)
}

/// A file whose pages are in the page cache one by one: written in single pages, and read in no larger pieces.
fn small_folios(dir: &std::path::Path, mib: usize) -> Outcome<File> {
    let mut file = tempfile::tempfile_in(dir)?;
    for number in 0..mib * 256 {
        file.write_all(&[number as u8; PAGE])?;
    }
    file.sync_all()?;
    Ok(file)
}

fn line(what: &str, time: Duration, times: usize) {
    println!("{:>12.0} ns  {what}", time.as_nanos() as f64 / times as f64);
}

/// As recto maps: for reading, and told that access is random.
fn map(file: &File) -> Outcome<MmapRaw> {
    let map = MmapOptions::new().map_raw_read_only(file)?;
    // SAFETY: the range is that of the map.
    unsafe { libc::madvise(map.as_mut_ptr().cast(), map.len(), libc::MADV_RANDOM) };
    Ok(map)
}

fn load(map: &MmapRaw, page: usize) -> u8 {
    assert!(page < map.len() / PAGE);
    // SAFETY: inside the map, whose file nobody else has.
    unsafe { map.as_ptr().add(page * PAGE).read_volatile() }
}

fn store(map: &MmapRaw, page: usize, byte: u8) {
    assert!(page < map.len() / PAGE);
    // SAFETY: inside a writable map, whose file nobody else has.
    unsafe { map.as_mut_ptr().add(page * PAGE).write_volatile(byte) }
}

fn map_and_unmap(file: &File) -> Outcome<()> {
    let begin = Instant::now();
    for _ in 0..100 {
        black_box(map(file)?);
    }
    line("map the whole file and unmap it, untouched", begin.elapsed(), 100);
    Ok(())
}

fn page_tables() -> Outcome<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmPTE:")).unwrap_or("0 kB");
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

fn first_and_later_loads(file: &File) -> Outcome<()> {
    let before = page_tables()?;
    let map = map(file)?;
    let pages = map.len() / PAGE;
    let mut order: Vec<usize> = (0..pages).collect();
    fastrand::Rng::with_seed(1).shuffle(&mut order);
    let mut sum = 0u64;
    for what in [
        "first load of a page: a minor fault, or its share of one",
        "later load of a page, all pages in random order",
    ] {
        let begin = Instant::now();
        for &page in &order {
            sum += u64::from(load(&map, page));
        }
        line(what, begin.elapsed(), pages);
    }
    let begin = Instant::now();
    for page in 0..pages {
        sum += u64::from(load(&map, page));
    }
    line("later load of a page, in order", begin.elapsed(), pages);
    let mut buffer = [0; PAGE];
    let begin = Instant::now();
    for &page in &order {
        file.read_exact_at(&mut buffer, (page * PAGE) as u64)?;
        sum += u64::from(buffer[0]);
    }
    line("pread of a page into a buffer, in random order", begin.elapsed(), pages);
    black_box(sum);
    println!("{:>12} KiB page tables of the map", page_tables()? - before);
    let begin = Instant::now();
    drop(map);
    line("unmap it, every page touched", begin.elapsed(), 1);
    Ok(())
}

fn sync(map: &MmapRaw, page: usize, flags: i32) -> Outcome<()> {
    let at = map.as_mut_ptr().wrapping_add(page * PAGE);
    // SAFETY: a page of the map.
    match unsafe { libc::msync(at.cast(), PAGE, flags) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error().into()),
    }
}

fn stores_and_syncs(file: &File, rounds: usize) -> Outcome<()> {
    let map = MmapOptions::new().map_raw(file)?;
    // SAFETY: the range is that of the map.
    unsafe { libc::madvise(map.as_mut_ptr().cast(), map.len(), libc::MADV_RANDOM) };
    let pages = map.len() / PAGE;
    let mut times = [Duration::ZERO; 6];
    for round in 0..rounds {
        let page = (round * 7919) % pages;
        load(&map, page);
        let mut timed = |n: usize, work: &mut dyn FnMut() -> Outcome<()>| {
            let begin = Instant::now();
            work()?;
            times[n] += begin.elapsed();
            Outcome::Ok(())
        };
        let byte = round as u8;
        let mut put = || {
            store(&map, page, byte);
            Ok(())
        };
        timed(0, &mut put)?;
        timed(1, &mut put)?;
        timed(2, &mut || sync(&map, page, libc::MS_ASYNC))?;
        timed(3, &mut || sync(&map, page, libc::MS_SYNC))?;
        timed(4, &mut || sync(&map, page, libc::MS_SYNC))?;
        // The same page by pwrite, which needs no writable map.
        timed(5, &mut || {
            file.write_all_at(&[byte; PAGE], (page * PAGE) as u64)?;
            sync(&map, page, libc::MS_SYNC)
        })?;
    }
    for (what, time) in [
        "first store into a clean page: a fault that makes it writable and dirty",
        "second store into it",
        "msync(MS_ASYNC) of a dirty page: nothing happens",
        "msync(MS_SYNC) of a dirty page: written, and flushed by the device",
        "msync(MS_SYNC) of a clean page",
        "pwrite of a page, then msync(MS_SYNC)",
    ]
    .into_iter()
    .zip(times)
    {
        line(what, time, rounds);
    }
    Ok(())
}

/// A private map as a workspace, and what the staged sink does instead.
fn copies(file: &File) -> Outcome<()> {
    // SAFETY: the file is nobody else's.
    let mut private = unsafe { MmapOptions::new().map_copy(file)? };
    let pages = (private.len() / PAGE).min(20_000);
    let mut sum = 0u64;
    for page in 0..pages {
        sum += u64::from(private[page * PAGE]);
    }
    let begin = Instant::now();
    for page in 0..pages {
        private[page * PAGE] = 1;
    }
    line(
        "first store into a page of a private map: a fault that copies it",
        begin.elapsed(),
        pages,
    );
    let shared = map(file)?;
    let mut buffers = vec![vec![1u8; PAGE]; 64];
    for page in 0..pages {
        sum += u64::from(load(&shared, page));
    }
    let begin = Instant::now();
    for page in 0..pages {
        let from = shared.as_ptr().wrapping_add(page * PAGE);
        let buffer = &mut buffers[page % 64];
        // SAFETY: a page of the map, and a buffer of the same length.
        unsafe { std::ptr::copy_nonoverlapping(from, buffer.as_mut_ptr(), PAGE) };
    }
    line("copy of a page into a buffer that is used again", begin.elapsed(), pages);
    black_box((sum, buffers));
    Ok(())
}
