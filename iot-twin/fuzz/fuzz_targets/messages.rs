#![no_main]
iot_twin_fuzz::target!(messages);
