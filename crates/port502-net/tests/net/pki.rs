//! A certificate authority for tests, which also makes what a good one would not.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use port502_net::Target;
use port502_net::server::{Options, Reload, Server, Service};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, CustomExtension,
    DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SerialNumber,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use time::{Duration, OffsetDateTime};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const ROLE: &[u64] = &[1, 3, 6, 1, 4, 1, 50316, 802, 1];

/// A folder with an authority (`ca.pem`), its list of revocations (`crl.pem`) and what it has signed.
pub struct Pki {
    pub folder: PathBuf,
    issuer: CertifiedIssuer<'static, KeyPair>,
    next: AtomicU32,
}

/// What a certificate should say.
pub struct Wish {
    /// DER of role extensions.
    pub roles: Vec<Vec<u8>>,
    pub critical: bool,
    /// Valid from so many days ago on.
    pub since: i64,
    /// For so many days.
    pub days: i64,
    pub purpose: ExtendedKeyUsagePurpose,
    pub names: Vec<String>,
    /// Marked as one that may sign others, as a careless `openssl req -x509` does.
    pub authority: bool,
}

impl Wish {
    pub fn client() -> Self {
        Wish {
            roles: vec![],
            critical: false,
            since: 1,
            days: 365,
            purpose: ExtendedKeyUsagePurpose::ClientAuth,
            names: vec![],
            authority: false,
        }
    }

    pub fn server() -> Self {
        let names = vec!["localhost".into(), "127.0.0.1".into()];
        Wish { purpose: ExtendedKeyUsagePurpose::ServerAuth, names, ..Wish::client() }
    }
}

/// A string type of ASN.1 with its content.
pub fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    [&[tag, u8::try_from(content.len()).unwrap()], content].concat()
}

pub fn utf8_string(role: &str) -> Vec<u8> {
    der(0x0C, role.as_bytes())
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

impl Pki {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("pki-{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(&name);
        std::fs::create_dir_all(&folder).unwrap();
        let mut params = named(&format!("Test CA {name}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(folder.join("ca.pem"), issuer.pem()).unwrap();
        let pki = Pki { folder, issuer, next: AtomicU32::new(1) };
        pki.revoke(&[]);
        pki
    }

    /// Makes `name.pem` and `name.key`; its serial number.
    pub fn make(&self, name: &str, wish: &Wish) -> u32 {
        let serial = self.next.fetch_add(1, Relaxed);
        let mut params = CertificateParams::new(wish.names.clone()).unwrap();
        params.distinguished_name = named(name).distinguished_name;
        params.serial_number = Some(SerialNumber::from(u64::from(serial)));
        params.not_before = OffsetDateTime::now_utc() - Duration::days(wish.since) - Duration::minutes(90);
        params.not_after = params.not_before + Duration::days(wish.days);
        params.extended_key_usages = vec![wish.purpose.clone()];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        if wish.authority {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        params.custom_extensions = wish
            .roles
            .iter()
            .map(|role| {
                let mut extension = CustomExtension::from_oid_content(ROLE, role.clone());
                extension.set_criticality(wish.critical);
                extension
            })
            .collect();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.path(&format!("{name}.pem")), certificate.pem()).unwrap();
        self.write_key(name, &key.serialize_pem(), 0o600);
        serial
    }

    /// Writes `name.key`.
    pub fn write_key(&self, name: &str, pem: &str, mode: u32) {
        let path = self.path(&format!("{name}.key"));
        std::fs::write(&path, pem).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        let _ = mode;
    }

    pub fn server(&self, name: &str) -> u32 {
        self.make(name, &Wish::server())
    }

    pub fn client(&self, name: &str, role: Option<&str>) -> u32 {
        self.make(name, &Wish { roles: role.into_iter().map(utf8_string).collect(), ..Wish::client() })
    }

    /// Writes the list of all that is revoked.
    pub fn revoke(&self, serials: &[u32]) {
        let now = OffsetDateTime::now_utc();
        let revoked = |serial: &u32| RevokedCertParams {
            serial_number: SerialNumber::from(u64::from(*serial)),
            revocation_time: now,
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: now,
            next_update: now + Duration::days(30),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = params.signed_by(&self.issuer).unwrap();
        std::fs::write(self.path("crl.pem"), list.pem().unwrap()).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// `?cert=` and so on, of one of its certificates.
    pub fn query(&self, name: &str) -> String {
        format!("?cert={}", self.path(&format!("{name}.pem")).display())
    }

    /// A target to connect to.
    pub fn target(&self, address: SocketAddr, name: &str, more: &str) -> Target {
        format!("tls://{address}{}{more}", self.query(name)).parse().unwrap()
    }

    /// Runs a server with the certificate `server`.
    pub fn serve<S: Service>(&self, service: S, options: Options) -> (SocketAddr, Reload) {
        let target = format!("tls://127.0.0.1:0{}", self.query("server")).parse().unwrap();
        let server = Server::bind(&target, options).unwrap();
        let (address, reload) = (server.local_addr().unwrap(), server.reload_handle().unwrap());
        tokio::spawn(server.run(service));
        (address, reload)
    }

    /// The configuration of a client that is not ours.
    pub fn client_config(
        &self,
        name: Option<&str>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.path("ca.pem")).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        Arc::new(match name {
            None => config.with_no_client_auth(),
            Some(name) => {
                let certificate = CertificateDer::from_pem_file(self.path(&format!("{name}.pem"))).unwrap();
                let key = PrivateKeyDer::from_pem_file(self.path(&format!("{name}.key"))).unwrap();
                // Without looking at what it shows: that is the server's part.
                let key = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
                let own = rustls::sign::CertifiedKey::new(vec![certificate], key);
                config.with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(own)))
            }
        })
    }

    /// A client that is not ours, with one of its certificates.
    pub async fn connect(&self, address: SocketAddr, name: &str) -> io::Result<TlsStream<TcpStream>> {
        connect(&self.client_config(Some(name), rustls::ALL_VERSIONS), address).await
    }
}

/// Shakes hands with a server.
pub async fn connect(config: &Arc<ClientConfig>, address: SocketAddr) -> io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::clone(config)).connect(name, stream).await
}

impl Drop for Pki {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
