#![no_main]
iot_identity_fuzz::target!(enrolment);
