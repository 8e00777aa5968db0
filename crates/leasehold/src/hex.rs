//! Bytes as text.

/// Two digits a byte, in lower case.
pub(crate) fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes that a text of digits stands for; none if it is no such text.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    let digits = pairs.map(|pair| std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2));
    digits.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_digits_a_byte() {
        assert_eq!(hex([0, 0x0f, 0xab]), "000fab");
        assert_eq!(hex([]), "");
        assert_eq!(unhex("000fab"), Some(vec![0, 0x0f, 0xab]));
        assert_eq!((unhex("0"), unhex("0g")), (None, None));
    }
}
