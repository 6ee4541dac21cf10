//! States that lost something, kept: a sparse image of the disk, which any machine can mount, and
//! beside it a text with what was wanted of it.

use super::Result;
use super::child::Verifier;
use super::device::Device;
use super::disk::{BLOCK, Layer};
use super::ground::Ground;
use super::verifier::Request;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

fn facts(image: &Path) -> PathBuf {
    image.with_extension("txt")
}

/// Writes a state to a directory; the path of the image.
pub fn keep(
    dir: &Path,
    number: usize,
    request: &Request,
    base: &Layer,
    over: &Layer,
    what: &str,
) -> Result<PathBuf> {
    std::fs::create_dir_all(dir)?;
    let (system, seed) = (request.plan.system.name(), request.plan.seed);
    let path = dir.join(format!("{system}-{seed}-{number}.img"));
    let image = File::create(&path)?;
    image.set_len(request.plan.system.disk_bytes())?;
    let blocks = base.iter().filter(|(n, _)| !over.contains_key(n)).chain(over);
    for (number, block) in blocks.filter(|(_, block)| block.iter().any(|&b| b != 0)) {
        image.write_all_at(&block[..], number * BLOCK as u64)?;
    }
    // Where the line's other fields lead to is made anew when it is looked at again.
    std::fs::write(facts(&path), format!("{}{what}\n", request.line()))?;
    Ok(path)
}

/// Judges a kept state again: the transaction that was found, or what is lost.
pub fn verify_again(image: &Path) -> Result<std::result::Result<u64, String>> {
    let text = std::fs::read_to_string(facts(image))
        .map_err(|e| format!("{}: {e}", facts(image).display()))?;
    let mut request = Request::parse(text.lines().next().unwrap_or_default())?;
    let bytes = File::open(image).map_err(|e| format!("{}: {e}", image.display()))?;
    let ground = Ground::new()?;
    let device = Device::new(request.plan.system.disk_bytes(), &ground.served())?;
    let mut block = [0; BLOCK];
    for at in (0..request.plan.system.disk_bytes()).step_by(BLOCK) {
        bytes.read_exact_at(&mut block, at)?;
        if block.iter().any(|&b| b != 0) {
            device.disk().write_base(at, &block);
        }
    }
    request.device = device.path().to_owned();
    request.mountpoint = ground.mountpoint();
    request.notes = device.notes().to_owned();
    ground.reboot(1)?;
    let mut verifier = Verifier::default();
    let verdict = verifier.ask(&request);
    drop(verifier);
    ground.clear();
    verdict
}
