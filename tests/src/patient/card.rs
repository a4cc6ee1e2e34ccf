//! A card in a hand, and in a slot.

use anyhow::{Context, Result};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use uketsuke_card::{Faults, SlotRequest, VerificationNumberB, VirtualCard, VirtualCardSpec, slot};

use crate::pki::Card;

/// 照合番号B of every card here: a birth date, a year and a security code that belong to nobody.
const NUMBER_B: &[u8; 14] = b"01010120359999";

/// A patient's card. Its retry counters live as long as it does, whatever slot it was in.
#[derive(Clone)]
pub struct PatientCard(Arc<Mutex<VirtualCard>>);

impl PatientCard {
    /// A card with this certificate, a PIN (`None`: a 顔認証マイナンバーカード) and a chip photo (JPEG 2000).
    pub fn new(issued: &Card, pin: Option<[u8; 4]>, ca_der: &[u8], photo_jp2: Option<Vec<u8>>) -> Result<Self> {
        let card = VirtualCard::new(&VirtualCardSpec {
            authentication_certificate_der: issued.certificate_der.clone(),
            ca_certificate_der: ca_der.to_vec(),
            private_key_pkcs8_der: issued.key_pkcs8_der.clone(),
            pin,
            pin_tries_left: 3,
            verification_number_b: VerificationNumberB::from_ascii(NUMBER_B)?,
            photo_jp2,
        })?;
        Ok(Self(Arc::new(Mutex::new(card))))
    }

    /// Some other card, such as a transport pass.
    pub fn foreign() -> Self {
        Self(Arc::new(Mutex::new(VirtualCard::foreign())))
    }

    /// Puts the card into a slot.
    pub async fn insert(&self, slot: SocketAddr) -> Result<CardInSlot> {
        let stream = TcpStream::connect(slot).await.with_context(|| format!("putting a card into the slot {slot}"))?;
        stream.set_nodelay(true)?;
        Ok(CardInSlot { task: tokio::spawn(answer(stream, self.0.clone())) })
    }

    /// Makes the card misbehave from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).set_faults(faults);
    }

    /// PIN tries left.
    pub fn pin_tries_left(&self) -> Option<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pin_tries_left()
    }
}

/// A card that is in a slot. Dropping it pulls the card.
pub struct CardInSlot {
    task: JoinHandle<()>,
}

impl CardInSlot {
    /// Takes the card out; it is out when this returns.
    pub async fn remove(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

impl Drop for CardInSlot {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(mut stream: TcpStream, card: Arc<Mutex<VirtualCard>>) {
    loop {
        let mut length = [0; slot::LENGTH_BYTES];
        if stream.read_exact(&mut length).await.is_err() {
            return;
        }
        let Ok(bytes) = slot::body_bytes(length) else { return };
        let mut body = vec![0; bytes];
        if stream.read_exact(&mut body).await.is_err() {
            return;
        }
        let Ok(request) = SlotRequest::decode(&body) else { return };
        let answered = {
            let mut card = card.lock().unwrap_or_else(PoisonError::into_inner);
            slot::answer(&mut card, request)
        };
        let Ok(frame) = answered else { return };
        if stream.write_all(&frame).await.is_err() {
            return;
        }
    }
}
