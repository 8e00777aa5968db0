//! A loopback port that nobody else is given.

use rustix::fd::OwnedFd;
use rustix::net::sockopt::set_socket_reuseaddr;
use rustix::net::{AddressFamily, SocketAddrV4, SocketFlags, SocketType, bind, getsockname, socket_with};
use std::net::Ipv4Addr;

/// A free loopback port, kept from everybody who asks the system for any that is free, while this lives.
///
/// A socket is bound to it that never listens. Connections are refused until somebody does; and whoever binds the port by
/// its number with `SO_REUSEADDR`, as the standard library and servers do, gets it.
///
/// ```
/// use leasehold_testkit::Port;
/// use std::net::{TcpListener, TcpStream};
///
/// let port = Port::reserve();
/// let at = ("127.0.0.1", port.number());
/// assert!(TcpStream::connect(at).is_err());
/// let listener = TcpListener::bind(at).unwrap();
/// assert!(TcpStream::connect(at).is_ok());
/// drop(listener);
/// assert!(TcpListener::bind(at).is_ok());
/// ```
pub struct Port {
    number: u16,
    _kept: OwnedFd,
}

impl Port {
    /// Reserves one.
    pub fn reserve() -> Self {
        Self::attempt().expect("a free port on the loopback")
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }

    fn attempt() -> rustix::io::Result<Self> {
        // A program that outlived this process would keep the port otherwise.
        let kept = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        set_socket_reuseaddr(&kept, true)?;
        bind(&kept, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?;
        let number = SocketAddrV4::try_from(getsockname(&kept)?)?.port();
        Ok(Self { number, _kept: kept })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::net::TcpListener;

    #[test]
    fn no_two_are_the_same_and_nobody_else_is_given_one() {
        let ports: Vec<_> = (0..500).map(|_| Port::reserve()).collect();
        let others: Vec<_> = (0..500).map(|_| TcpListener::bind(("127.0.0.1", 0)).unwrap()).collect();
        let others = others.iter().map(|listener| listener.local_addr().unwrap().port());
        let all: BTreeSet<_> = ports.iter().map(Port::number).chain(others).collect();
        assert_eq!(all.len(), 1000);
    }
}
