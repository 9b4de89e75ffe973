#![no_main]
iot_ota_fuzz::target!(delta);
