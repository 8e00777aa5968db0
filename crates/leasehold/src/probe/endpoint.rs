//! Where a provider is asked: the address and path of an endpoint.

use leasehold_core::name::Address;

/// An endpoint as a manifest has it, taken apart.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    pub(super) address: Address,
    /// Without slashes at either end.
    path: Box<str>,
}

impl Endpoint {
    /// Takes an endpoint apart, or says what is wrong with it without repeating it: what is before an `@` or after a
    /// `?` may be a secret.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = text.split_once("://").ok_or("its endpoint is no http or https address")?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if rest.contains(['?', '#']) {
            return Err("its endpoint has a query, which is not sent on");
        }
        if authority.contains('@') {
            return Err("its endpoint holds a name or password, which is not used");
        }
        let scheme = scheme.to_ascii_lowercase();
        let is_http = scheme == "http" || scheme == "https";
        let address = is_http.then(|| Address::parse(&format!("{scheme}://{authority}")).ok()).flatten();
        let address = address.ok_or("its endpoint is no http or https address")?;
        Ok(Self { address, path: path.trim_matches('/').into() })
    }

    /// The host in lower case.
    pub(super) fn host(&self) -> &str {
        self.address.host()
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Whether nobody else is on the way: `localhost`, `127.0.0.0/8` or `::1`.
    pub(super) fn is_loopback(&self) -> bool {
        self.address.is_loopback()
    }

    /// The path of a call there. An endpoint is often given with a part of the call's path, or with the path at which
    /// another dialect is spoken: such an ending gives way.
    pub(super) fn path_to(&self, call: &str, endings: &[&str]) -> String {
        let without = |ending: &&str| self.path.strip_suffix(ending).filter(|rest| is_whole(rest));
        let above = endings.iter().find_map(without).unwrap_or(&self.path).trim_end_matches('/');
        match above {
            "" => format!("/{call}"),
            _ => format!("/{above}/{call}"),
        }
    }
}

/// Whether what is left of a path ends where a part of it ends.
fn is_whole(rest: &str) -> bool {
    rest.is_empty() || rest.ends_with('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_and_a_call_make_one_path() {
        let check = |endpoint: &str, expect: &str| {
            let endpoint = Endpoint::parse(endpoint).unwrap();
            assert_eq!(endpoint.path_to("v1/key", &["dialect/v1", "v1"]), expect, "{endpoint:?}");
        };
        check("https://ai.example", "/v1/key");
        check("https://ai.example/", "/v1/key");
        check("https://ai.example/v1", "/v1/key");
        check("https://ai.example/v1/", "/v1/key");
        check("https://ai.example/dialect/v1", "/v1/key");
        check("https://ai.example/team/v1", "/team/v1/key");
        check("https://ai.example/xv1", "/xv1/v1/key");
        check("https://ai.example/v1/x", "/v1/x/v1/key");
    }

    #[test]
    fn nobody_else_is_on_the_way_to_the_loopback() {
        let check = |endpoint: &str, expect: bool| {
            assert_eq!(Endpoint::parse(endpoint).unwrap().is_loopback(), expect, "{endpoint}");
        };
        for host in ["127.0.0.1", "127.8.9.1:1", "[::1]:1", "localhost", "LOCALHOST:8080"] {
            check(&format!("http://{host}/v1"), true);
        }
        for host in
            ["127.0.0.1.example", "localhost.example", "xlocalhost", "192.168.0.1", "0.0.0.0", "[::2]"]
        {
            check(&format!("http://{host}"), false);
        }
    }

    #[test]
    fn what_may_be_secret_in_an_endpoint_is_refused_and_not_repeated() {
        let check = |endpoint: &str, expect: &str| {
            assert_eq!(Endpoint::parse(endpoint).unwrap_err(), expect, "{endpoint}");
        };
        check("https://canary@api.openai.com/v1", "its endpoint holds a name or password, which is not used");
        check("http://127.0.0.1:1@api.example", "its endpoint holds a name or password, which is not used");
        check("https://api.openai.com/v1?key=canary", "its endpoint has a query, which is not sent on");
        check("https://api.openai.com#canary", "its endpoint has a query, which is not sent on");
        check("ftp://api.openai.com", "its endpoint is no http or https address");
        check("unix:///run/ollama.sock", "its endpoint is no http or https address");
        check("api.openai.com", "its endpoint is no http or https address");
        check("https://api.openai.com:0", "its endpoint is no http or https address");
        check("https://api\\.openai.com", "its endpoint is no http or https address");
    }
}
