//! What `/healthz`, the staff page and the metrics say of one site is one thing.

use super::http::page;
use super::{Counted, NOW, Scene};
use crate::handle::CourierStatus;
use crate::health::Health;
use crate::retention::RetentionStatus;
use crate::telemetry::Metrics;
use crate::upkeep::Upkept;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use uketsuke_core::retention::{ALARM_AFTER, Deletion, Doubt};

/// A site that reports its own health and metrics, with `upkept` as upkeep's latest word. More than two requests that wait are many.
fn scene(upkept: Upkept) -> Scene {
    let mut scene = Scene::new();
    let (store, clock) = (scene.state.store.clone(), scene.state.clock.clone());
    let health = Health::new(store, clock, watch::channel(upkept).1, 2);
    let site = scene.state.site.clone();
    scene.state.health = Arc::new(move || health.report(&site));
    let (metrics, site) = (Metrics::default(), scene.state.site.clone());
    scene.state.metrics = Arc::new(move || metrics.render(&site, &upkept, NOW.wall_ms));
    scene
}

fn counted(pending: u64) -> Upkept {
    let mut upkept = Upkept::default();
    upkept.figures.outbox.pending = pending;
    upkept.counted = true;
    upkept
}

async fn part(scene: &Scene, name: &str) -> Value {
    let report: Value = serde_json::from_str(&page(scene, "/healthz").await).unwrap();
    report["parts"].as_array().unwrap().iter().find(|part| part["name"] == name).unwrap().clone()
}

#[actix_web::test]
async fn healthz_the_staff_page_and_the_metrics_never_tell_two_counts() {
    // Upkeep has counted at another moment than the courier.
    let scene = scene(counted(7));
    assert!(part(&scene, "queue").await["detail"].as_str().unwrap().starts_with("3 requests wait"));
    let staff = page(&scene, "/staff?lang=en").await;
    for part in ["waiting to be sent: 3<", "Queue: 3 requests wait", "more than store.attention_waiting"] {
        assert!(staff.contains(part), "{part}: {staff}");
    }
    assert!(!staff.contains("7 requests"), "{staff}");
    let metrics = page(&scene, "/metrics").await;
    assert!(
        metrics.lines().any(|line| line.starts_with("uketsuke_outbox_pending") && line.ends_with(" 3")),
        "{metrics}"
    );
}

#[actix_web::test]
async fn a_page_that_is_drawn_while_the_courier_counts_tells_one_count() {
    let mut scene = scene(counted(3));
    let (health, central) = (scene.state.health.clone(), scene.central.clone());
    scene.state.health = Arc::new(move || {
        let report = health();
        central.send_modify(|central| central.counted = Some(Counted { pending: 9, rejected: 0 }));
        report
    });
    let staff = page(&scene, "/staff?lang=en").await;
    assert!(staff.contains("waiting to be sent: 3<") && staff.contains("Queue: 3 requests wait"), "{staff}");
}

#[actix_web::test]
async fn before_the_first_count_no_page_says_that_nothing_waits() {
    let scene = scene(Upkept::default());
    scene.central.send_modify(|central: &mut CourierStatus| central.counted = None);
    assert_eq!(part(&scene, "queue").await["detail"], "not counted yet since the start");
    assert!(page(&scene, "/staff").await.contains("送信待ち まだ数えていません"));
    assert!(page(&scene, "/staff?lang=en").await.contains("waiting to be sent: not counted yet"));
    let metrics = page(&scene, "/metrics").await;
    let said = |name: &str| metrics.lines().any(|line| line.starts_with(name));
    for figure in ["uketsuke_outbox_pending", "uketsuke_outbox_rejected", "uketsuke_store{figure=\"isolated\"}"] {
        assert!(!said(figure), "{figure}: {metrics}");
    }
    assert!(said("uketsuke_store{figure=\"walks\"} 0"), "{metrics}");
}

#[actix_web::test]
async fn from_the_fourteenth_day_on_every_page_says_in_stronger_words_that_deletion_waits() {
    let day = Duration::from_secs(24 * 60 * 60);
    for (waited, alarms) in [(ALARM_AFTER - day, false), (ALARM_AFTER, true)] {
        let retention = RetentionStatus {
            deletion: Deletion::Waits(Doubt::NotHeard),
            wall_ms: NOW.wall_ms,
            central_ms: None,
            waited,
            alarms,
        };
        let mut upkept = Upkept::default();
        upkept.retention = Some(retention);
        let scene = scene(upkept);
        let deletion = part(&scene, "deletion").await;
        let detail = deletion["detail"].as_str().unwrap();
        assert_eq!((&deletion["ok"], &deletion["urgent"]), (&false.into(), &alarms.into()), "{deletion}");
        assert_eq!(detail.starts_with("ALARM: nothing has been deleted for its age for 14 days"), alarms, "{detail}");
        assert!(detail.contains("uketsuke clock confirm"), "{detail}");
        assert_eq!(page(&scene, "/staff").await.contains("【至急】"), alarms);
        assert_eq!(page(&scene, "/staff?lang=en").await.contains("URGENT, clock"), alarms);
        let metrics = page(&scene, "/metrics").await;
        let value = u64::from(alarms);
        assert!(metrics.contains(&format!("uketsuke_store{{figure=\"deletion_alarms\"}} {value}\n")), "{metrics}");
        assert!(metrics.contains(&format!("deletion_waited_seconds\"}} {}\n", waited.as_secs())), "{metrics}");
        let help = metrics.lines().find(|line| line.starts_with("# HELP uketsuke_store ")).unwrap();
        assert!(help.contains("(deletion_waited_seconds)") && help.contains("deletion_alarms, 1 or 0"), "{help}");
    }
}
