//! What the service does for the fleet as a whole: it enrols newcomers and leads campaigns.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant as Moment};

use iot_core::{Channel, DeviceId, Instant, Now, Principal, Role, TenantId};
use iot_identity::enrol::{Answer, Refusal, Registrar};
use iot_identity::ring::{SoftwareKey, SystemEntropy};
use iot_ota::rollout::{Campaign, Decision, Event, HaltReason, Phase};
use iot_ota::update::{FromDevice, Outcome, Source, ToDevice};
use rustls::pki_types::CertificateDer;

use crate::firmware::Release;
use crate::member::Post;
use crate::transfers::Transfers;

/// A campaign that runs, and what was counted of it.
pub struct Running {
    pub campaign: Campaign,
    pub release: Release,
    pub since: Moment,
    /// Seconds and confirmed devices.
    pub curve: Vec<(f64, f64)>,
    /// How many devices were offered the release before the gate closed, and how many were still busy then.
    pub at_halt: Option<(usize, usize)>,
    pub why: Option<HaltReason>,
    pub transfers: Transfers,
    pub offered: BTreeSet<DeviceId>,
    /// What each device said last: how it ended, and which release ran then.
    pub said: BTreeMap<DeviceId, (Outcome, u64)>,
}

/// The service's desk.
pub struct Desk {
    tenant: TenantId,
    gateway: DeviceId,
    devices: Registrar<SoftwareKey>,
    gateways: Registrar<SoftwareKey>,
    /// Certificates issued, and requests answered; repeated requests get the certificate that exists.
    pub enrolled: usize,
    pub answered: usize,
    /// Requests that have to wait for somebody's approval.
    pub deferred: usize,
    pub running: Option<Running>,
    out: VecDeque<(DeviceId, Post)>,
    tick_at: Option<Instant>,
}

/// How often a running campaign is asked whether time has run out for somebody.
const TICK: Duration = Duration::from_millis(50);

impl Desk {
    pub fn new(
        tenant: TenantId,
        gateway: DeviceId,
        devices: Registrar<SoftwareKey>,
        gateways: Registrar<SoftwareKey>,
    ) -> Self {
        Self {
            tenant,
            gateway,
            devices,
            gateways,
            enrolled: 0,
            answered: 0,
            deferred: 0,
            running: None,
            out: VecDeque::new(),
            tick_at: None,
        }
    }

    /// Answers a newcomer. The front lets nobody write to the channel of another device, so the name in the
    /// topic is the name in the certificate.
    pub fn enrol(&mut self, device: DeviceId, payload: &[u8], now: Now) {
        let who = Principal::new(self.tenant, device, Role::Newcomer);
        let answer = self.decide(&who, payload, now);
        self.answered += 1;
        let outcome = Answer::decode(&answer).map(|answer| answer.certificates().err());
        self.deferred += usize::from(outcome == Ok(Some(Refusal::Later)));
        self.out.push_back((
            device,
            Post {
                channel: Channel::Enrol,
                payload: answer,
            },
        ));
    }

    /// What the registrar answers to a peer.
    pub fn decide(&mut self, who: &Principal, payload: &[u8], now: Now) -> Vec<u8> {
        let registrar = self.registrar(&who.device);
        let (answer, news) = registrar.answer(who, payload, now.wall, &mut SystemEntropy::new());
        self.enrolled += usize::from(news.is_some());
        answer
    }

    /// Lets a revoked device ask again; returns how many of its certificates stay denied.
    pub fn readmit(&mut self, device: &DeviceId) -> usize {
        self.registrar(device).readmit(device).len()
    }

    /// What a device holds, the newest last.
    pub fn certificates(&mut self, device: &DeviceId) -> Vec<CertificateDer<'static>> {
        let held = self.registrar(device).enrolments();
        let own = held.filter(|enrolment| enrolment.device() == device);
        own.map(|enrolment| enrolment.certificate().clone())
            .collect()
    }

    fn registrar(&mut self, device: &DeviceId) -> &mut Registrar<SoftwareKey> {
        if *device == self.gateway {
            &mut self.gateways
        } else {
            &mut self.devices
        }
    }

    /// Serves a device that fetches, and takes its report.
    pub fn update(&mut self, device: DeviceId, payload: &[u8], now: Now) {
        let Ok(message) = FromDevice::decode(payload) else {
            return;
        };
        let Some(running) = &mut self.running else {
            return;
        };
        match message {
            FromDevice::Request(request) => {
                let image = Arc::clone(&running.release.served);
                let source = Source::new(running.release.sequence, &image);
                if let Ok(answer) = source.answer(&request)
                    && running.transfers.admit(device)
                {
                    let (is_last, envelope) = (
                        source.is_last(&request),
                        Arc::clone(&running.release.envelope),
                    );
                    running.transfers.sent(device, is_last);
                    if is_last {
                        // Its power may have failed since it was offered: it stages nothing without the signature. Behind
                        // the block it would be a new offer to a device that has just refused the image.
                        let envelope = &*envelope;
                        self.send(device, &ToDevice::Offer { envelope });
                    }
                    self.send(device, &answer);
                    self.offer();
                }
            }
            FromDevice::Report(report) => {
                let release = running.release.sequence;
                let Some(event) = Event::of_report(device, release, &report) else {
                    return;
                };
                running.transfers.ended(&device);
                let runs = report.running.map_or(0, |running| running.sequence);
                running.said.insert(device, (report.outcome, runs));
                self.on(now, &event);
            }
            _ => {}
        }
    }

    /// Starts a campaign.
    pub fn start(&mut self, now: Now, campaign: Campaign, release: Release) {
        self.running = Some(Running {
            campaign,
            release,
            since: Moment::now(),
            curve: vec![(0.0, 0.0)],
            at_halt: None,
            why: None,
            transfers: Transfers::default(),
            offered: BTreeSet::new(),
            said: BTreeMap::new(),
        });
        self.on(now, &Event::Tick);
        self.tick_at = Some(now.instant + TICK);
    }

    fn on(&mut self, now: Now, event: &Event) {
        let Some(running) = &mut self.running else {
            return;
        };
        // A report that comes after the end changes nothing.
        let decisions = running.campaign.on(now, event).unwrap_or_default();
        for decision in decisions {
            match decision {
                Decision::Offer(device) => running.transfers.queue(device),
                Decision::Halt { reason } => {
                    let progress = running.campaign.progress();
                    running.at_halt = Some((progress.exposed, progress.in_flight));
                    running.why = Some(reason);
                }
                _ => {}
            }
        }
        if matches!(event, Event::Succeeded(_)) {
            let confirmed = running.campaign.progress().succeeded;
            running
                .curve
                .push((running.since.elapsed().as_secs_f64(), confirmed as f64));
        }
        self.offer();
    }

    /// Offers the release to whoever can fetch it now.
    fn offer(&mut self) {
        while let Some(running) = &mut self.running
            && let Some(device) = running.transfers.next()
        {
            running.offered.insert(device);
            let envelope = Arc::clone(&running.release.envelope);
            let envelope = &*envelope;
            self.send(device, &ToDevice::Offer { envelope });
        }
    }

    fn send(&mut self, device: DeviceId, message: &ToDevice<'_>) {
        let mut buffer = vec![0; 64 * 1024];
        if let Ok(bytes) = message.encode(&mut buffer) {
            self.out.push_back((
                device,
                Post {
                    channel: Channel::Update,
                    payload: bytes.to_vec(),
                },
            ));
        }
    }

    /// The next message for a device.
    pub fn next_post(&mut self, now: Now) -> Option<(DeviceId, Post)> {
        if self.tick_at.is_some_and(|at| now.instant >= at) {
            self.on(now, &Event::Tick);
            let runs = |running: &Running| running.campaign.phase() == Phase::Running;
            let runs = self.running.as_ref().is_some_and(runs);
            self.tick_at = runs.then(|| now.instant + TICK);
        }
        self.out.pop_front()
    }

    pub const fn deadline(&self) -> Option<Instant> {
        self.tick_at
    }
}
