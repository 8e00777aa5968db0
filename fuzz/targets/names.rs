//! Fuzzes names: references, addresses, paths and namespaces. What is taken stays the same when it is written and read
//! again; a fault points into the text.
#![no_main]

use leasehold_core::name::{Address, Fault, Namespace, Path, Reference};
use libfuzzer_sys::fuzz_target;
use std::fmt::{Debug, Display};

fuzz_target!(|text: &str| {
    check(text, Address::parse, |_| true);
    check(text, Path::parse, |_| true);
    check(text, Namespace::parse, |_| true);
    // A reference is shown as it is meant: without the escapes that it was written with, and so without their meaning.
    check(text, Reference::parse, |_| !text.contains('%'));
});

fn check<T: Debug + Display + PartialEq>(
    text: &str,
    parse: impl Fn(&str) -> Result<T, Fault>,
    is_plain: impl Fn(&T) -> bool,
) {
    match parse(text) {
        Ok(name) if is_plain(&name) => assert_eq!(parse(&name.to_string()).as_ref(), Ok(&name)),
        Ok(_) => {}
        Err(fault) => {
            assert!(fault.at() <= text.len(), "{fault:?}");
            drop(fault.picture(text));
        }
    }
}
