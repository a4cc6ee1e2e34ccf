//! Revocation lists: the newest valid one counts, and one that cannot be judged is refused with its place, the reason, and what to do.

use super::{Scene, days, tomorrow, until};
use std::fs;
use std::path::PathBuf;
use time::Duration;
use uketsuke::central::{CentralError, Layer, LineFault, Outcome};
use uketsuke_tests::pki::{List, ListedAt, serial_of};

/// An empty list that is good in every way.
fn list(number: u32) -> List<'static> {
    let made = days(-2, 0).not_before;
    List { number, made, ends: tomorrow(), revoked: &[], point: "", extensions: "" }
}

impl Scene {
    /// With the server's certificate as `at` says, and a place for lists.
    async fn listed(at: Option<ListedAt<'_>>) -> Self {
        let mut scene = Self::new().await;
        if let Some(at) = at {
            scene.pki.renew_server_listed(&days(-1, 60), &at).unwrap();
        }
        scene.central.crl_file = Some(scene.lists());
        scene
    }

    /// The site's lists; the simulator reads others.
    fn lists(&self) -> PathBuf {
        self.pki.dir().join("site-crl.pem")
    }

    fn server(&self) -> [String; 1] {
        [serial_of(&self.pki.server_pem()).unwrap()]
    }

    fn put(&self, lists: &[&List<'_>]) {
        let made: String = lists.iter().map(|list| self.pki.list(list).unwrap()).collect();
        self.put_bytes(made.as_bytes());
    }

    fn put_bytes(&self, bytes: &[u8]) {
        fs::write(self.lists(), bytes).unwrap();
    }

    /// What TLS says of the lists that are there; `None` when the line works.
    async fn judged(&self) -> Option<LineFault> {
        let works = self.inspected().await.iter().all(|looked| matches!(looked.outcome, Outcome::Fine(_)));
        if works {
            return None;
        }
        let (layer, fault) = self.fault().await;
        assert_eq!(layer, Layer::Tls, "{fault}");
        println!("{fault}");
        Some(fault)
    }
}

#[tokio::test]
async fn of_several_lists_of_one_authority_the_newest_counts_in_whatever_order_they_stand() {
    let scene = Scene::listed(None).await;
    let server = scene.server();
    let before = list(0xff);
    // A longer number is a higher one, and the number counts before the date.
    let revoking = List { number: 0x100, made: before.made - Duration::days(1), revoked: &server, ..before.clone() };
    for lists in [[&before, &revoking], [&revoking, &before]] {
        scene.put(&lists);
        assert_eq!(scene.judged().await, Some(LineFault::TheirCertificateRevoked), "{lists:?}");
    }
    let lifted = List { number: 0x101, ..list(0) };
    scene.put(&[&revoking, &lifted, &before]);
    assert_eq!(scene.judged().await, None);
    // One that no authority issued in order is told apart by its date.
    let later = List { number: 0x100, made: revoking.made + Duration::hours(1), revoked: &[], ..revoking.clone() };
    scene.put(&[&later, &revoking]);
    assert_eq!(scene.judged().await, None);
}

#[tokio::test]
async fn a_list_that_cannot_be_judged_is_refused_with_its_place_the_reason_and_what_to_do() {
    let scene = Scene::listed(None).await;
    let odd = |point, extensions| List { point, extensions, ..list(2) };
    for (case, reason, fix) in [
        (odd("indirectCRL = TRUE", ""), "is an indirect list", "put the complete list"),
        (odd("onlysomereasons = keyCompromise", ""), "for some reasons only", "put the complete list"),
        (odd("onlyuser = TRUE", ""), "with a full name", "put the complete list"),
        (odd("onlyCA = TRUE", ""), "with a full name", "put the complete list"),
        (odd("onlyAA = TRUE", ""), "for attribute certificates alone", "put the complete list"),
        (odd("relativename = relative", ""), "with a full name", "put the complete list"),
        (odd("", "2.5.29.27 = critical, ASN1:INTEGER:1"), "a delta list", "put a complete list"),
        (odd("", "1.2.3.4 = critical, ASN1:NULL"), "(1.2.3.4)", "put a complete list"),
    ] {
        // The second in the file: its place is told, and the good one in front of it does not hide it.
        scene.put(&[&list(1), &case]);
        let fault = scene.judged().await;
        assert!(matches!(fault, Some(LineFault::OurFiles(_))), "{case:?}: {fault:?}");
        let said = fault.unwrap().said();
        for words in ["number 2", "site-crl.pem", "CN=Uketsuke development link CA", reason, fix] {
            assert!(said.en.contains(words), "{words}: {}", said.en);
        }
        assert!(
            said.ja.contains("2番目") && said.ja.contains("site-crl.pem") && said.ja.contains("ください"),
            "{}",
            said.ja
        );
    }
}

#[tokio::test]
async fn a_list_by_another_key_of_the_same_name_is_called_so_and_never_no_tls() {
    let mut scene = Scene::listed(None).await;
    scene.put_bytes(scene.pki.list_of_namesake(&list(1)).unwrap().as_bytes());
    let fault = scene.judged().await.unwrap();
    assert!(matches!(fault, LineFault::OurFiles(_)), "{fault:?}");
    for words in ["number 1", "site-crl.pem", "another key of the same name", "central.ca_file"] {
        assert!(fault.to_string().contains(words), "{words}: {fault}");
    }
    // A change of the authority's key: both certificates are there, and each list is of one of them.
    let both = [scene.pki.link_ca_pem(), scene.pki.dir().join("namesake-ca.pem")].map(|path| fs::read(path).unwrap());
    scene.central.ca_file = scene.pki.dir().join("both-ca.pem");
    fs::write(&scene.central.ca_file, both.concat()).unwrap();
    let server = scene.server();
    for (ours, theirs) in [(1, 2), (2, 1)] {
        let namesakes = scene.pki.list_of_namesake(&list(theirs)).unwrap();
        let put = |list: &List<'_>| {
            scene.put_bytes(&[namesakes.as_bytes(), scene.pki.list(list).unwrap().as_bytes()].concat())
        };
        put(&list(ours));
        assert_eq!(scene.judged().await, None, "{ours} {theirs}");
        put(&List { revoked: &server, ..list(ours) });
        assert_eq!(scene.judged().await, Some(LineFault::TheirCertificateRevoked), "{ours} {theirs}");
    }
}

#[tokio::test]
async fn a_list_that_says_nothing_of_the_server_is_refused_in_words_of_what_it_speaks_about() {
    let uri = "http://list.example/1.crl";
    for (at, point, words) in [
        (
            Some(ListedAt::Directory),
            "fullname = dirName:name",
            Some("distribution point by directory name cannot be compared"),
        ),
        (
            Some(ListedAt::Uri(uri)),
            "fullname = dirName:name",
            Some("distribution point by directory name cannot be compared"),
        ),
        (Some(ListedAt::Uri(uri)), "fullname = dirName:name\nonlyuser = TRUE", Some("for users' certificates only")),
        (Some(ListedAt::Uri(uri)), "fullname = URI:http://list.example/2.crl", Some("covers the server's certificate")),
        (None, "fullname = dirName:name\nonlyCA = TRUE", Some("for authorities' certificates only")),
        (None, "fullname = dirName:name\nonlyuser = TRUE", None),
        (Some(ListedAt::Uri(uri)), "fullname = URI:http://list.example/1.crl\nonlyuser = TRUE", None),
    ] {
        let scene = Scene::listed(at).await;
        let server = scene.server();
        // The older one counts as little as if it were not there, and moves the place of the other.
        scene.put(&[&List { point, ..list(0) }, &List { point, ..list(1) }]);
        let fault = scene.judged().await;
        let Some(words) = words else {
            assert_eq!(fault, None, "{at:?} {point}");
            scene.put(&[&List { point, revoked: &server, ..list(2) }]);
            assert_eq!(scene.judged().await, Some(LineFault::TheirCertificateRevoked), "{at:?} {point}");
            continue;
        };
        assert!(matches!(fault, Some(LineFault::OurCrlSilent(_))), "{at:?} {point}: {fault:?}");
        let said = fault.unwrap().to_string();
        for words in ["2: ", "CN=Uketsuke development link CA", words, "central.crl_file", "put "] {
            assert!(said.contains(words), "{words}: {said}");
        }
    }
}

#[tokio::test]
async fn a_server_that_one_of_two_lists_of_its_authority_calls_revoked_is_refused() {
    let uri = "http://list.example/1.crl";
    let scene = Scene::listed(Some(ListedAt::Uri(uri))).await;
    let server = scene.server();
    // One speaks about everything, the other about a part; which of them TLS looks at is chance.
    let part = List { point: "fullname = URI:http://list.example/1.crl", ..list(1) };
    for revoking in [0, 1] {
        let mut lists = [list(1), part.clone()];
        lists[revoking].revoked = &server;
        let [all, part] = &lists;
        for lists in [[all, part], [part, all]] {
            scene.put(&lists);
            assert_eq!(scene.judged().await, Some(LineFault::TheirCertificateRevoked), "{lists:?}");
        }
    }
    scene.put(&[&list(1), &part]);
    assert_eq!(scene.judged().await, None);
}

#[tokio::test]
async fn a_list_is_read_as_der_and_behind_a_byte_order_mark_and_other_labels_are_named() {
    let scene = Scene::listed(None).await;
    let server = scene.server();
    let revoking = scene.pki.list(&List { revoked: &server, ..list(2) }).unwrap();
    let der = pem_to_der(&revoking);
    let empty = scene.pki.list(&list(1)).unwrap();
    for bytes in [
        der.clone(),
        [b"\xef\xbb\xbf", revoking.as_bytes()].concat(),
        revoking.replace('\n', "\r\n").into_bytes(),
        // Two files that were joined.
        [&*empty, "\u{feff}", &*revoking].concat().into_bytes(),
        [empty.trim_end(), &*revoking].concat().into_bytes(),
    ] {
        scene.put_bytes(&bytes);
        assert_eq!(scene.judged().await, Some(LineFault::TheirCertificateRevoked));
    }
    for (bytes, words) in [
        ([&*empty, &*revoking.replace("X509 CRL", "CRL")].concat().into_bytes(), "it holds \"CRL\" where"),
        (revoking.replace("X509 CRL", "CRL").into_bytes(), "it holds \"CRL\" where \"X509 CRL\" is wanted"),
        (revoking.replace("X509 CRL", "PKCS7").into_bytes(), "it holds \"PKCS7\" where \"X509 CRL\" is wanted"),
        (der[..der.len() - 1].to_vec(), "half written"),
        (fs::read(scene.pki.card_ca_der()).unwrap(), "does not parse as a revocation list"),
    ] {
        scene.put_bytes(&bytes);
        let fault = scene.judged().await.unwrap();
        assert!(matches!(fault, LineFault::OurFiles(_)) && fault.to_string().contains(words), "{words}: {fault}");
        assert!(fault.to_string().contains("site-crl.pem"), "{fault}");
    }
}

fn pem_to_der(pem: &str) -> Vec<u8> {
    use rustls::pki_types::CertificateRevocationListDer;
    use rustls::pki_types::pem::PemObject;
    CertificateRevocationListDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_list_is_not_taken_back_by_a_gateway_that_runs() {
    let scene = Scene::listed(None).await;
    let revoked = [serial_of(&scene.pki.other_client_pem()).unwrap()];
    scene.put(&[&List { revoked: &revoked, ..list(2) }]);
    let (client, watching) = scene.watched();
    client.ping().await.unwrap();
    scene.put(&[&list(1)]);
    let words = "is older than one that was in use before";
    let status =
        until(&client, words, |status| status.refused.as_ref().is_some_and(|said| said.en.contains(words))).await;
    assert_eq!(status.swaps, 0, "the newer one stays in use");
    client.ping().await.unwrap();
    scene.put(&[&list(3)]);
    until(&client, "a newer one is taken", |status| status.swaps == 1 && status.refused.is_none()).await;
    watching.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_server_is_left_at_once_although_its_connection_is_open() {
    let mut scene = Scene::new().await;
    scene.pki.revoke(&[], tomorrow()).unwrap();
    scene.central.crl_file = Some(scene.pki.link_crl_pem());
    let (client, watching) = scene.watched();
    client.ping().await.unwrap();
    scene.pki.revoke(&[serial_of(&scene.pki.server_pem()).unwrap()], tomorrow()).unwrap();
    until(&client, "the new list holds", |status| status.swaps == 1).await;
    let refused = client.ping().await.unwrap_err();
    assert!(matches!(&refused, CentralError::Unreachable(why) if why.contains("has been revoked")), "{refused}");
    assert_eq!(client.status().borrow().fault, Some(LineFault::TheirCertificateRevoked));
    watching.abort();
}
