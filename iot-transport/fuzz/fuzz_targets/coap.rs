#![no_main]
iot_transport_fuzz::target!(coap);
