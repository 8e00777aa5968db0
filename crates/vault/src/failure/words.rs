//! What the server said of a failure, in its own words.

use serde::Deserialize;

use crate::parse;
use crate::reply::Reply;

/// At most this many characters of the server's own text are repeated.
const LONGEST_QUOTE: usize = 200;

/// Below this many bytes a body that is no JSON may be a plain sentence; above it is a page.
const LONGEST_SENTENCE: usize = 300;

/// What the server said, in its own words.
pub(super) struct Words {
    pub(super) texts: Vec<String>,
    pub(super) is_json: bool,
}

impl Words {
    /// Errors and warnings of a JSON body; a body that is one short plain sentence; of a page nothing.
    pub(super) fn of(reply: &Reply) -> Self {
        #[derive(Deserialize)]
        struct Errors {
            #[serde(default, deserialize_with = "parse::or_default")]
            errors: Vec<String>,
            #[serde(default, deserialize_with = "parse::or_default")]
            warnings: Vec<String>,
        }
        match parse::json::<Errors>(&reply.body) {
            Ok(Errors { mut errors, warnings }) => {
                errors.extend(warnings);
                Self { texts: errors, is_json: true }
            }
            Err(_) => Self { texts: sentence(&reply.body).into_iter().collect(), is_json: false },
        }
    }

    /// Whether they contain the text, which is in lower case.
    pub(super) fn have(&self, text: &str) -> bool {
        self.texts.iter().any(|have| have.to_ascii_lowercase().contains(text))
    }

    /// The first of them on one line, short, without the server's own list marks.
    pub(super) fn quote(&self) -> String {
        let Some(text) = self.texts.first() else { return String::new() };
        let text = text.split_once("occurred:").map_or(text.as_str(), |(_, list)| list);
        let words =
            text.split(|c: char| c.is_whitespace() || c.is_control() || c == '*').filter(|w| !w.is_empty());
        words.collect::<Vec<_>>().join(" ").chars().take(LONGEST_QUOTE).collect()
    }
}

fn sentence(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?.trim();
    let is_sentence = !text.is_empty() && text.len() <= LONGEST_SENTENCE && !text.contains(['<', '{', '\n']);
    is_sentence.then(|| text.to_owned())
}
