//! Answers a call as AWS does while it does not know everything yet.

use axum::body::{Body, Bytes};
use axum::response::Response;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use streamkit_wire::Call;
use streamkit_wire::protocol::{self, body_of, error_of};
use uuid::Uuid;

use super::super::authorize;
use super::asked::Asked;
use super::list::{Edit, Element, List};
use crate::rehearsal::{Consistency, Event, Known, Mutated, Part, Thing};
use crate::services::{Region, Regions};

/// The largest answer that is kept to be given again.
const LARGEST: usize = 256 * 1024;

/// An embedded AWS whose reads, lists and dependent calls lag behind what was made, changed or deleted.
pub(in super::super) struct EventuallyConsistent {
    consistency: Consistency<Earlier>,
}

/// What was true before.
#[derive(Clone)]
enum Earlier {
    Answer(Answer),
    Element(Element),
}

/// An answer that can be given again.
#[derive(Clone)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

/// One call, and what it is to which kinds of resources.
struct Asking<'a> {
    consistency: &'a Consistency<Earlier>,
    parts: &'a [(usize, Part)],
    regions: &'a Regions,
    region: &'a Region,
    call: &'a Call,
    asked: Asked,
}

impl EventuallyConsistent {
    pub(in super::super) fn new(seed: u64) -> Self {
        Self { consistency: Consistency::new(seed) }
    }

    /// Answers a call from outside, if its caller may make it.
    pub(in super::super) async fn answer(
        &self,
        regions: &Regions,
        region: &Region,
        call: &Call,
        request: Request<Bytes>,
    ) -> Response {
        let parts = self.consistency.parts(call.service.name(), &call.operation);
        if parts.is_empty() {
            return authorize::answer(&region.services, call, request).await;
        }
        let asked = Asked::of(call, &request);
        let asking = Asking { consistency: &self.consistency, parts, regions, region, call, asked };
        if let Some(refusal) = asking.refusal() {
            return refusal;
        }
        let answer = authorize::answer(&region.services, call, request).await;
        let answer = Answer::of(answer).await;
        asking.note(&answer);
        let answer = asking.read(answer).await;
        asking.list(answer).response()
    }
}

impl Asking<'_> {
    fn of_part(&self, wanted: impl Fn(Part) -> bool) -> impl Iterator<Item = (usize, Part)> {
        self.parts.iter().copied().filter(move |(_, part)| wanted(*part))
    }

    /// The resources of a kind that the call names.
    fn things(&self, kind: usize, part: Part, answer: Option<&[u8]>) -> Vec<Thing> {
        let names = self.asked.names(self.consistency.kind(kind), part, answer);
        names.into_iter().map(|name| Thing { kind, region: self.region.name().to_owned(), name }).collect()
    }

    fn not_found(&self, thing: &Thing) -> Option<Response> {
        let kind = self.consistency.kind(thing.kind);
        let error = kind.not_found(&self.call.operation, |member| match member {
            "name" => thing.name.clone(),
            "account" => self.regions.account().to_owned(),
            "region" => thing.region.clone(),
            member => self.asked.member(member),
        })?;
        Some(protocol::error_response(self.call, &error))
    }

    /// What a call is answered that needs a resource which is not known yet.
    fn refusal(&self) -> Option<Response> {
        let needs = self.of_part(|part| part == Part::Need);
        let things = needs.flat_map(|(kind, part)| self.things(kind, part, None));
        things
            .filter(|thing| !self.consistency.is_made(&self.call.operation, thing))
            .find_map(|thing| self.not_found(&thing))
    }

    /// Notes what the call did.
    fn note(&self, answer: &Answer) {
        if !answer.status.is_success() {
            return;
        }
        for (kind, part) in self.parts.iter().copied() {
            let event = match part {
                Part::Create => Event::Created,
                Part::Change => Event::Changed,
                Part::Delete => Event::Deleted,
                Part::Read | Part::Find | Part::Need | Part::List => continue,
            };
            for thing in self.things(kind, part, Some(&answer.body)) {
                let named_by_answer = self.consistency.kind(kind).named_by.is_some();
                let name = self.asked.is_for().filter(|_| named_by_answer).unwrap_or(&thing.name);
                let seeded_as = self.regions.scoped(self.region, name);
                self.consistency.note(Mutated { thing, event, seeded_as });
            }
        }
    }

    /// The answer to a read, as far as its operation knows of the resource.
    async fn read(&self, answer: Answer) -> Answer {
        // Refusals and faults say nothing of the resource.
        if self.asked.consistent || !(answer.status.is_success() || answer.is_not_found()) {
            return answer;
        }
        for (kind, part) in self.of_part(|part| matches!(part, Part::Read | Part::Find)) {
            for thing in self.things(kind, part, None) {
                match self.consistency.known(&self.call.operation, &thing) {
                    Known::Nothing => {
                        return match self.not_found(&thing) {
                            Some(refusal) => Answer::of(refusal).await,
                            None => answer,
                        };
                    }
                    Known::Earlier(Event::Changed) if part == Part::Find => {}
                    Known::Earlier(_) => {
                        if let Some(Earlier::Answer(earlier)) = self.consistency.earlier(&thing, self.asked.hash) {
                            return earlier;
                        }
                    }
                    Known::All if answer.body.len() <= LARGEST => {
                        self.consistency.keep(&thing, self.asked.hash, || Earlier::Answer(answer.clone()));
                    }
                    Known::All => {}
                }
            }
        }
        answer
    }

    /// The answer to a list, as far as its operation knows of each resource.
    fn list(&self, mut answer: Answer) -> Answer {
        if !answer.status.is_success() {
            return answer;
        }
        for (kind, _) in self.of_part(|part| part == Part::List) {
            let Some(mut list) = List::read(self.call, &answer.body) else { return answer };
            let unsettled = self.consistency.unsettled(kind, self.region.name());
            let known: Vec<(Thing, Known)> = unsettled
                .into_iter()
                .map(|thing| {
                    let known = self.consistency.known(&self.call.operation, &thing);
                    (thing, known)
                })
                .collect();
            for (container, member) in self.consistency.kind(kind).elements(&self.call.operation) {
                self.edit(&mut list, kind, (container, member), &known);
            }
            answer.body = list.write().into();
        }
        answer
    }

    fn edit(&self, list: &mut List, kind: usize, (container, member): (&str, Option<&str>), known: &[(Thing, Known)]) {
        // Lists of names beside lists of their descriptions are kept apart.
        let asked = container.bytes().fold(self.asked.hash, |hash, byte| hash.rotate_left(5) ^ u64::from(byte));
        let earlier = |thing: &Thing| match self.consistency.earlier(thing, asked) {
            Some(Earlier::Element(element)) => Some(element),
            _ => None,
        };
        let deleted = known.iter().filter(|(_, known)| *known == Known::Earlier(Event::Deleted));
        let added = deleted.filter_map(|(thing, _)| earlier(thing)).collect();
        let decide = |name: &str, element: &Element| {
            let thing = Thing { kind, region: self.region.name().to_owned(), name: name.to_owned() };
            match known.iter().find(|(known, _)| *known == thing).map(|(_, known)| *known) {
                Some(Known::Nothing) => Edit::Drop,
                Some(Known::Earlier(_)) => earlier(&thing).map_or(Edit::Keep, Edit::Replace),
                Some(Known::All) | None => {
                    self.consistency.keep(&thing, asked, || Earlier::Element(element.clone()));
                    Edit::Keep
                }
            }
        };
        list.edit(container, member, decide, added);
    }
}

impl Answer {
    async fn of(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        let body = body_of(Response::new(body)).await.unwrap_or_default();
        Self { status: parts.status, headers: parts.headers, body }
    }

    fn is_not_found(&self) -> bool {
        let code = error_of(self.status.as_u16(), &self.headers, &self.body).code;
        self.status == StatusCode::NOT_FOUND
            || ["NotFound", "NoSuch", "DoesNotExist"].iter().any(|it| code.contains(it))
    }

    fn response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response.headers_mut().remove(header::CONTENT_LENGTH);
        if let Ok(id) = HeaderValue::from_str(&Uuid::new_v4().to_string())
            && response.headers().contains_key("x-amzn-requestid")
        {
            response.headers_mut().insert("x-amzn-requestid", id);
        }
        response
    }
}
