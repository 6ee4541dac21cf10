//! Numbers from the kernel: random bytes and the boot id.

use std::io;
use std::sync::OnceLock;

/// Fills `out` from the kernel's generator.
pub fn random_bytes(out: &mut [u8]) -> io::Result<()> {
    let mut done = 0;
    while done < out.len() {
        let rest = &mut out[done..];
        // SAFETY: pointer and length are those of a live, exclusively borrowed slice.
        let n = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        if n < 0 {
            let e = io::Error::last_os_error();
            if e.kind() != io::ErrorKind::Interrupted {
                return Err(e);
            }
        } else {
            done += n as usize;
        }
    }
    Ok(())
}

/// Sixteen bytes that change with each boot of the machine. Containers see those of their host.
pub fn boot_id() -> io::Result<[u8; 16]> {
    /// No process outlives its boot.
    static KNOWN: OnceLock<[u8; 16]> = OnceLock::new();
    if let Some(known) = KNOWN.get() {
        return Ok(*known);
    }
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let id = parse_uuid(&text).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, "boot id of the kernel is not a uuid")
    })?;
    Ok(*KNOWN.get_or_init(|| id))
}

/// Thirty-two hexadecimal digits with dashes anywhere.
fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let mut out = [0u8; 16];
    let mut digits = 0;
    for c in text.trim().chars().filter(|&c| c != '-') {
        let d = c.to_digit(16)? as u8;
        let byte = out.get_mut(digits / 2)?;
        *byte = *byte << 4 | d;
        digits += 1;
    }
    (digits == 32).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuid_text() {
        let got = parse_uuid("00112233-4455-6677-8899-aabbccddeeff\n").unwrap();
        assert_eq!(got[0], 0);
        assert_eq!(got[1], 0x11);
        assert_eq!(got[15], 0xff);
        assert!(parse_uuid("00112233").is_none());
        assert!(parse_uuid("00112233-4455-6677-8899-aabbccddeeff00").is_none());
        assert!(parse_uuid("00112233-4455-6677-8899-aabbccddeefg").is_none());
    }

    #[test]
    fn boot_id_is_stable() {
        assert_eq!(boot_id().unwrap(), boot_id().unwrap());
        assert_ne!(boot_id().unwrap(), [0; 16]);
    }

    #[test]
    fn random_bytes_differ() {
        let (mut a, mut b) = ([0u8; 300], [0u8; 300]);
        random_bytes(&mut a).unwrap();
        random_bytes(&mut b).unwrap();
        assert_ne!(a, b);
        random_bytes(&mut []).unwrap();
    }
}
