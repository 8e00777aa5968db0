//! The JSON schema of the manifest, made of the tables that it is checked with.
//!
//! A schema cannot say everything that the check does: what stands twice, what a reference says, and pointers that look
//! random are found by the check alone.

use serde_json::{Map, Value, json};

use super::check::{FIELDS, Field, TEXTS};
use super::key::patterns;

const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";
/// Where it is shipped.
const ID: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/raw/main/docs/manifest.schema.json");

/// Something that can be seen, and nothing that cannot.
const NAME: &str = r"^[^\u0000-\u001f\u007f]*[^\s\u0000-\u001f\u007f][^\u0000-\u001f\u007f]*$";
// An empty text is as good as null.
const POINTER: &str = r"^([^\u0000-\u001f\u007f]*[^\s\u0000-\u001f\u007f][^\u0000-\u001f\u007f]*)?$";
const REFERENCE: &str = "^((vault|bao)://[^?#]+/[^?#]+#[^?#]+$|(env|file|keyring|sealed|kernel)://.)";
const VARIABLE: &str = "^([A-Za-z_][A-Za-z0-9_]*)?$";
const ADDRESS: &str = r"^(https?://(\[[0-9A-Fa-f:.]+\]|[^\s/?#@:\[\]]+)(:[0-9]{1,5})?([/?#].*)?)?$";

/// The JSON schema of a manifest, draft 2020-12, with a line end behind it.
///
/// ```
/// let schema: serde_json::Value = serde_json::from_str(&leasehold::manifest::schema()).unwrap();
/// assert_eq!(schema["$defs"]["provider"]["properties"]["priority"]["minimum"], 0);
/// ```
pub fn schema() -> String {
    let mut properties: Map<_, _> =
        TEXTS.iter().map(|(name, what)| ((*name).to_owned(), property(Field::Text, what))).collect();
    properties.insert("providers".to_owned(), providers());
    let schema = json!({
        "$schema": DRAFT,
        "$id": ID,
        "title": "The manifest of Leasehold",
        "description": "Which providers there are, and where the key of each rests. It never holds a key. What is \
                        not described here is kept as it is.",
        "type": "object",
        "properties": properties,
        "required": ["providers"],
        "propertyNames": no_key(),
        "additionalProperties": { "$ref": "#/$defs/other" },
        "$defs": { "provider": provider(), "other": other(), "key": key() },
    });
    format!("{schema:#}\n")
}

fn no_key() -> Value {
    json!({ "not": { "$ref": "#/$defs/key" } })
}

fn providers() -> Value {
    json!({
        "description": "The providers, by their names.",
        "type": "object",
        "propertyNames": { "pattern": NAME, "not": { "$ref": "#/$defs/key" } },
        "additionalProperties": { "$ref": "#/$defs/provider" },
    })
}

fn provider() -> Value {
    let properties: Map<_, _> =
        FIELDS.iter().map(|(name, field, what)| ((*name).to_owned(), property(*field, what))).collect();
    json!({
        "description": "A provider. Each of its fields may be left out, or be null.",
        "type": "object",
        "properties": properties,
        "propertyNames": no_key(),
        "additionalProperties": { "$ref": "#/$defs/other" },
    })
}

fn property(field: Field, what: &str) -> Value {
    let mut property = match field {
        Field::Text => json!({}),
        Field::Pointer => {
            json!({ "pattern": POINTER, "anyOf": [{ "not": { "pattern": "://" } }, { "pattern": REFERENCE }] })
        }
        Field::Variable => json!({ "pattern": VARIABLE }),
        Field::Url => json!({ "pattern": ADDRESS }),
        Field::Number => json!({ "minimum": 0, "maximum": u32::MAX }),
    };
    property["description"] = what.into();
    match field {
        Field::Number => property["type"] = json!(["integer", "null"]),
        _ => {
            property["type"] = json!(["string", "null"]);
            property["not"] = json!({ "$ref": "#/$defs/key" });
        }
    }
    property
}

/// What others keep here: anything but keys.
fn other() -> Value {
    json!({
        "description": "What is not described is kept as it is; a key is refused all the same.",
        "not": { "$ref": "#/$defs/key" },
        "items": { "$ref": "#/$defs/other" },
        "propertyNames": no_key(),
        "additionalProperties": { "$ref": "#/$defs/other" },
    })
}

/// What looks like a key, as far as that can be told by how it begins.
fn key() -> Value {
    json!({
        "description": "A key, which has no place in a manifest.",
        "type": "string",
        "allOf": patterns().map(|pattern| json!({ "pattern": pattern })),
    })
}

#[cfg(test)]
mod tests {
    use super::super::Manifest;
    use super::*;

    /// Whether a value is as a schema says, for the words that ours has.
    fn is_valid(value: &Value, schema: &Value, root: &Value) -> bool {
        let fits = |(word, rule): (&String, &Value)| match (word.as_str(), value) {
            ("$ref", _) => {
                let place = rule.as_str().unwrap().strip_prefix('#').unwrap();
                is_valid(value, root.pointer(place).unwrap(), root)
            }
            ("type", _) => is_of_type(value, rule),
            ("not", _) => !is_valid(value, rule, root),
            ("allOf", _) => rule.as_array().unwrap().iter().all(|rule| is_valid(value, rule, root)),
            ("anyOf", _) => rule.as_array().unwrap().iter().any(|rule| is_valid(value, rule, root)),
            ("pattern", Value::String(text)) => {
                regex_lite::Regex::new(rule.as_str().unwrap()).unwrap().is_match(text)
            }
            ("minimum", Value::Number(_)) => value.as_f64() >= rule.as_f64(),
            ("maximum", Value::Number(_)) => value.as_f64() <= rule.as_f64(),
            ("required", Value::Object(object)) => {
                rule.as_array().unwrap().iter().all(|name| object.contains_key(name.as_str().unwrap()))
            }
            ("properties", Value::Object(object)) => object
                .iter()
                .all(|(name, value)| rule.get(name).is_none_or(|rule| is_valid(value, rule, root))),
            ("propertyNames", Value::Object(object)) => {
                object.keys().all(|name| is_valid(&name.as_str().into(), rule, root))
            }
            ("additionalProperties", Value::Object(object)) => {
                let is_known = |name: &String| schema["properties"].get(name).is_some();
                object.iter().all(|(name, value)| is_known(name) || is_valid(value, rule, root))
            }
            ("items", Value::Array(items)) => items.iter().all(|value| is_valid(value, rule, root)),
            ("pattern" | "minimum" | "maximum" | "required" | "properties", _) => true,
            ("propertyNames" | "additionalProperties" | "items", _) => true,
            ("$schema" | "$id" | "$defs" | "title" | "description", _) => true,
            (other, _) => panic!("this test does not know the word {other}"),
        };
        schema.as_object().unwrap().iter().all(fits)
    }

    fn is_of_type(value: &Value, rule: &Value) -> bool {
        let is = |name: &Value| match name.as_str().unwrap() {
            "object" => value.is_object(),
            "string" => value.is_string(),
            "integer" => value.is_u64() || value.is_i64(),
            "null" => value.is_null(),
            other => panic!("this test does not know the type {other}"),
        };
        rule.as_array().map_or_else(|| is(rule), |names| names.iter().any(is))
    }

    #[test]
    fn what_is_shipped_is_what_the_tables_say() {
        let path = leasehold_testkit::workspace().join("docs/manifest.schema.json");
        let shipped = std::fs::read_to_string(path).unwrap_or_default();
        assert!(shipped == schema(), "write it anew: leasehold config schema > docs/manifest.schema.json");
    }

    /// The schema and the check are of one mind about a document.
    fn check(text: &str, expect: bool) {
        let root = serde_json::from_str(&schema()).unwrap();
        let told = Manifest::parse(text).map_or_else(|faults| faults.to_string(), |_| String::new());
        assert_eq!(told.is_empty(), expect, "the check: {text}: {told}");
        let document = serde_json::from_str(text).unwrap();
        assert_eq!(is_valid(&document, &root, &root), expect, "the schema: {text}");
    }

    #[test]
    fn of_documents_it_says_what_the_check_says() {
        check(&Manifest::starter("node").to_text(), true);
        for (document, expect) in [
            (r#"{"providers":{}}"#, true),
            (r#"{"providers":{},"more":[1]}"#, true),
            ("{}", false),
            ("[]", false),
            (r#"{"providers":[]}"#, false),
            (r#"{"providers":{"a":1}}"#, false),
            (r#"{"providers":{" ":{}}}"#, false),
            (r#"{"providers":{"a\nb":{}}}"#, false),
            (r#"{"providers":{},"version":"2026.1","identity":"x"}"#, true),
            (r#"{"providers":{},"version":2026}"#, false),
            (r#"{"providers":{},"identity":null,"version":""}"#, true),
            (r#"{"providers":{},"more":[{"x":"sk-0123456789abcdefghij"}]}"#, false),
            (r#"{"providers":{},"more":{"sk-0123456789abcdefghij":1}}"#, false),
            (r#"{"providers":{},"sk-0123456789abcdefghij":1}"#, false),
            (r#"{"providers":{"sk-0123456789abcdefghij":{}}}"#, false),
            (r#"{"providers":{},"identity":"9f86d081884c7d659a2feaa0c55ad015"}"#, true),
        ] {
            check(document, expect);
        }
    }

    #[test]
    fn of_providers_it_says_what_the_check_says() {
        for (fields, expect) in [
            ("", true),
            (r#""models":["x"],"usage":{"n":1}"#, true),
            (r#""type":null,"vault_key":null,"env_var":null,"endpoint":null,"priority":null"#, true),
            (r#""type":7"#, false),
            (r#""vault_key":"api.openai.com/pro_key""#, true),
            (r#""vault_key":"a:b c:/d""#, true),
            (r#""vault_key":"vault://secret/ai#openai""#, true),
            (r#""vault_key":"keyring://agent_vault/x""#, true),
            (r#""vault_key":"vualt://secret/ai""#, false),
            (r#""vault_key":"a:://b""#, false),
            (r#""vault_key":" ""#, false),
            (r#""vault_key":"","env_var":"","endpoint":"","base_url_env":"","type":"""#, true),
            (r#""vault_key":"vault://secret/ai""#, false),
            (r#""vault_key":"vault://secret/ai?version=2#x""#, false),
            (r#""vault_key":"vault://secret/ai#x?version=2""#, false),
            (r#""vault_key":"keyring://agent_vault/sk-0123456789abcdefghij""#, false),
            (r#""vault_key":"risk-0123456789abcdefghij""#, true),
            (r#""vault_key":"sk-the-key-of-our-team""#, true),
            (r#""vault_key":"OpenAI/sk-the-key-of-our-team-in-berlin""#, true),
            (r#""vault_key":"OpenAI/sk-the-key-of-our-team-in-berlin-2""#, false),
            (r#""vault_key":"s.0123456789abcdefghijklmn""#, false),
            (r#""vault_key":"b.azure-openai-production-eastus2""#, true),
            (r#""vault_key":"b.AAAAAQKq8_-yVx0mKd83LrTz""#, false),
            (r#""endpoint":"https://s.openai-gateway-of-team-berlin-2.example.com""#, true),
            (r#""models":["x",{"digest":"9f86d081884c7d659a2feaa0c55ad015"}]"#, true),
            (r#""models":{"sk-0123456789abcdefghij":1}"#, false),
            (r#""vault_key":"a\tb""#, false),
            (r#""vault_key":"sk-proj-0123456789abcdef""#, false),
            (r#""vault_key":"sk-8""#, true),
            (r#""env_var":"OPENAI_API_KEY""#, true),
            (r#""env_var":"A-B""#, false),
            (r#""env_var":"1A""#, false),
            (r#""endpoint":"https://openrouter.ai/api/v1?x=1#y""#, true),
            (r#""endpoint":"http://localhost:11434""#, true),
            (r#""endpoint":"http://[::1]:80/""#, true),
            (r#""endpoint":"ftp://x""#, false),
            (r#""endpoint":"https://""#, false),
            (r#""endpoint":"https://me:pw@host/""#, false),
            (r#""endpoint":"localhost:11434""#, false),
            (r#""priority":0"#, true),
            (r#""priority":4294967295"#, true),
            (r#""priority":4294967296"#, false),
            (r#""priority":-1"#, false),
            (r#""priority":1.5"#, false),
            (r#""priority":"1""#, false),
        ] {
            check(&format!(r#"{{"providers":{{"a":{{{fields}}}}}}}"#), expect);
        }
    }
}
