//! A token whose last holder is gone is nowhere in the memory of this process.

#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

use std::fs::{self, File};
use std::hint::black_box;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use http::Request;
use leasehold::clock::Clock;
use leasehold::core::Secret;
use leasehold::signing::{Covering, Signer, Verifier};
use leasehold::token_cache::TokenCache;

const MASK: u8 = 0x5a;
const PIECE: usize = 1 << 16;

/// A token that is known only masked here, so that it can be looked for without another copy of it.
struct Masked([u8; 32]);

impl Masked {
    fn new() -> Self {
        let mut masked = [0; 32];
        let digits = leasehold_testkit::random_hex().into_bytes().into_iter().cycle();
        masked.iter_mut().zip(digits).for_each(|(to, digit)| *to = digit.wrapping_add(16) ^ MASK);
        Self(masked)
    }

    fn secret(&self) -> Secret {
        // It does not grow, which would leave a copy behind.
        let mut text = String::with_capacity(64);
        self.0.iter().for_each(|byte| text.push(char::from(byte ^ MASK)));
        Secret::new(text)
    }

    fn is_in(&self, window: &[u8]) -> bool {
        window.iter().zip(&self.0).all(|(byte, masked)| byte ^ MASK == *masked)
    }

    /// How often it is in what this process can write to.
    fn copies(&self) -> usize {
        let memory = File::open("/proc/self/mem").unwrap();
        let mut piece = vec![0; PIECE];
        let start = piece.as_ptr().addr() as u64;
        let own = start..start + PIECE as u64;
        let areas = fs::read_to_string("/proc/self/maps").unwrap();
        let copies =
            areas.lines().filter_map(writable).map(|area| self.copies_in(area, &own, &memory, &mut piece));
        let copies = copies.sum();
        // What was read is not to be found by the next look.
        black_box(&mut piece).fill(0);
        copies
    }

    /// The same of one area, except for what it is being read into.
    fn copies_in(&self, area: Range<u64>, own: &Range<u64>, memory: &File, piece: &mut [u8]) -> usize {
        let (mut at, mut copies) = (area.start, 0);
        while at < area.end {
            let length = usize::try_from(area.end - at).unwrap().min(PIECE);
            if memory.read_exact_at(&mut piece[..length], at).is_err() {
                return copies;
            }
            let is_foreign = |offset: &usize| !own.contains(&(at + *offset as u64));
            let windows = piece[..length].windows(self.0.len()).enumerate();
            let found = windows.filter(|(_, window)| self.is_in(window)).map(|(offset, _)| offset);
            copies += found.filter(is_foreign).count();
            // What lies across the border is found in the next piece.
            at += (length - if length < PIECE { 0 } else { self.0.len() - 1 }) as u64;
        }
        copies
    }
}

/// The area that a line of `maps` tells of, if it can be written to.
fn writable(line: &str) -> Option<Range<u64>> {
    let (range, rest) = line.split_once(' ')?;
    let (start, end) = range.split_once('-')?;
    let bound = |text| u64::from_str_radix(text, 16).ok();
    rest.starts_with("rw").then_some(bound(start)?..bound(end)?)
}

#[test]
fn a_token_is_wiped_when_its_last_holder_is_gone() {
    let token = Masked::new();
    assert_eq!(token.copies(), 0, "nobody has it yet");
    let tokens = TokenCache::new(Clock::default(), Duration::from_secs(60));
    tokens.rotate(token.secret());
    assert_eq!(token.copies(), 1, "it is found, and nobody has made another");

    let signer = Signer::new(tokens.clone(), "agent-1", Covering::Body).unwrap();
    let verifier = Verifier::new(tokens.clone(), Covering::Body);
    let mut request = Request::post("/").body("reboot").unwrap();
    signer.sign(&mut request).unwrap();
    let mut verification = verifier.open(&request).unwrap();
    verification.update(request.body().as_bytes());
    assert!(verification.finish().is_ok());

    let (held, mut reader) = (tokens.current().unwrap(), tokens.reader());
    assert!(reader.current().is_some());
    tokens.rotate(Secret::new("another"));
    let previous = tokens.previous().unwrap();
    tokens.forget_previous();
    assert!(token.copies() >= 1, "a request, a thread and somebody else hold it");
    assert_eq!(reader.current().unwrap().secret().expose(), "another");
    drop(previous);
    assert_eq!(token.copies(), 1, "a request holds it");
    drop(held);
    assert_eq!(token.copies(), 0);
}
