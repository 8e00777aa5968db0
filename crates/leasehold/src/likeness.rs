//! Which word was meant by one that nobody knows.

/// The one of these words that was most likely meant; none if none is near.
///
/// ```
/// use leasehold::likeness::nearest;
///
/// let known = ["openai_pro", "openrouter"];
/// assert_eq!(nearest("openai", known), Some("openai_pro"));
/// assert_eq!(nearest("gemini", known), None);
/// ```
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let likeness = |known: &'a str| (strsim::jaro_winkler(word, known), known);
    let best = known.into_iter().map(likeness).max_by(|a, b| a.0.total_cmp(&b.0));
    best.filter(|(likeness, _)| *likeness > 0.8).map(|(_, known)| known)
}
