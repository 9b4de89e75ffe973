use iot_twin::{Text, Twin};

#[derive(Twin)]
struct Long {
    #[twin(desired)]
    text: Text<1001>,
}

#[derive(Twin)]
struct Many {
    #[twin(desired)]
    list: [u8; 65],
}

fn main() {
    let _ = (Long::INITIAL, Many::INITIAL);
}
