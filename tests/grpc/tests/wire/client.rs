//! A client that knows nothing of the contract but what the host tells by reflection.

use bytes::{Buf as _, BufMut as _};
use futures::StreamExt as _;
use prost::Message as _;
use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, MessageDescriptor, MethodDescriptor, SerializeOptions,
};
use runtime_grpc::PACKAGE;
use serde_json::Value;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Request, Response, Status};
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::world::Served;

pub async fn channel(host: &Served) -> Channel {
    Channel::from_shared(format!("http://{}", host.address)).unwrap().connect().await.unwrap()
}

/// A client by reflection.
pub struct Client {
    pub channel: Channel,
    pub pool: DescriptorPool,
    token: Option<String>,
}

impl Client {
    pub async fn of(host: &Served, token: &str) -> Self {
        let channel = channel(host).await;
        let pool = told(channel.clone()).await.unwrap();
        Self { channel, pool, token: Some(token.to_owned()) }
    }

    pub fn with(&self, token: Option<&str>) -> Self {
        Self { channel: self.channel.clone(), pool: self.pool.clone(), token: token.map(str::to_owned) }
    }

    pub fn methods(&self) -> Vec<MethodDescriptor> {
        let services = self.pool.services().filter(|service| service.package_name() == PACKAGE);
        services.flat_map(|service| service.methods().collect::<Vec<_>>()).collect()
    }

    pub fn method(&self, id: &str) -> MethodDescriptor {
        let name = format!("{PACKAGE}.{id}");
        self.methods().into_iter().find(|method| method.full_name() == name).unwrap()
    }

    /// Asks, and answers what came, as JSON.
    pub async fn call(&self, id: &str, request: Value) -> Result<Value, Status> {
        Ok(self.call_with(id, request, &[]).await?.into_inner())
    }

    pub async fn call_with(
        &self,
        id: &str,
        request: Value,
        said: &[(&'static str, &str)],
    ) -> Result<Response<Value>, Status> {
        let method = self.method(id);
        let strict = DeserializeOptions::new().deny_unknown_fields(true);
        let request = DynamicMessage::deserialize_with_options(method.input(), request, &strict).unwrap();
        let answer = self.send(&method, request.encode_to_vec(), said).await?;
        let (metadata, bytes, extensions) = answer.into_parts();
        let answer = DynamicMessage::decode(method.output(), bytes.as_slice()).unwrap();
        assert_eq!(answer.unknown_fields().count(), 0);
        Ok(Response::from_parts(metadata, json(&answer), extensions))
    }

    /// Sends bytes, whatever they are.
    pub async fn send(
        &self,
        method: &MethodDescriptor,
        message: Vec<u8>,
        said: &[(&'static str, &str)],
    ) -> Result<Response<Vec<u8>>, Status> {
        let mut request = Request::new(message);
        if let Some(token) = &self.token {
            request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        for (name, text) in said {
            request.metadata_mut().append(*name, text.parse().unwrap());
        }
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name()).parse().unwrap();
        let mut grpc = tonic::client::Grpc::new(self.channel.clone());
        grpc.ready().await.unwrap();
        if method.is_server_streaming() {
            return Ok(grpc.server_streaming(request, path, Plain).await?.map(|_| Vec::new()));
        }
        grpc.unary(request, path, Plain).await
    }

    /// Follows, from a position on.
    pub async fn follow(&self, id: &str, request: Value) -> Result<Followed, Status> {
        let method = self.method(id);
        let request = DynamicMessage::deserialize(method.input(), request).unwrap();
        let mut request = Request::new(request.encode_to_vec());
        let token = self.token.clone().unwrap();
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name()).parse().unwrap();
        let mut grpc = tonic::client::Grpc::new(self.channel.clone());
        grpc.ready().await.unwrap();
        let messages = grpc.server_streaming(request, path, Plain).await?.into_inner();
        Ok(Followed { messages, of: method.output() })
    }

    /// Sends several messages where one is due.
    pub async fn send_all(
        &self,
        method: &MethodDescriptor,
        messages: Vec<Vec<u8>>,
    ) -> Result<Response<Vec<u8>>, Status> {
        let mut request = Request::new(futures::stream::iter(messages));
        let token = self.token.clone().unwrap();
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name()).parse().unwrap();
        let mut grpc = tonic::client::Grpc::new(self.channel.clone());
        grpc.ready().await.unwrap();
        grpc.client_streaming(request, path, Plain).await
    }
}

/// What is followed.
pub struct Followed {
    messages: tonic::Streaming<Vec<u8>>,
    of: MessageDescriptor,
}

impl Followed {
    pub async fn next(&mut self) -> Option<Result<Value, Status>> {
        let message = self.messages.next().await?;
        Some(message.map(|bytes| json(&DynamicMessage::decode(self.of.clone(), bytes.as_slice()).unwrap())))
    }
}

pub fn json(message: &DynamicMessage) -> Value {
    let options = SerializeOptions::new().stringify_64_bit_integers(false);
    message.serialize_with_options(serde_json::value::Serializer, &options).unwrap()
}

/// What the host tells of itself.
pub async fn told(channel: Channel) -> Result<DescriptorPool, Status> {
    let names = match asked(channel.clone(), MessageRequest::ListServices(String::new())).await? {
        MessageResponse::ListServicesResponse(list) => list.service,
        other => panic!("{other:?}"),
    };
    let mut pool = DescriptorPool::new();
    for name in names.into_iter().filter(|service| service.name.starts_with(PACKAGE)) {
        add(channel.clone(), &mut pool, MessageRequest::FileContainingSymbol(name.name)).await?;
    }
    Ok(pool)
}

async fn add(channel: Channel, pool: &mut DescriptorPool, request: MessageRequest) -> Result<(), Status> {
    let MessageResponse::FileDescriptorResponse(files) = asked(channel.clone(), request).await? else {
        panic!()
    };
    for bytes in files.file_descriptor_proto {
        let file = prost_types::FileDescriptorProto::decode(bytes.as_slice()).unwrap();
        for needed in &file.dependency {
            if pool.get_file_by_name(needed).is_none() {
                Box::pin(add(channel.clone(), pool, MessageRequest::FileByFilename(needed.clone()))).await?;
            }
        }
        pool.add_file_descriptor_proto(file).unwrap();
    }
    Ok(())
}

async fn asked(channel: Channel, request: MessageRequest) -> Result<MessageResponse, Status> {
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(request) };
    let mut client = ServerReflectionClient::new(channel);
    let mut answers = client.server_reflection_info(futures::stream::iter([request])).await?.into_inner();
    Ok(answers.next().await.unwrap()?.message_response.unwrap())
}

/// A request of this type, with these fields where it has them.
pub fn filled(of: MessageDescriptor, known: &serde_json::Map<String, Value>) -> DynamicMessage {
    let fields = known.iter().filter(|(name, _)| of.get_field_by_json_name(name).is_some());
    let value = Value::Object(fields.map(|(name, value)| (name.clone(), value.clone())).collect());
    DynamicMessage::deserialize(of, value).unwrap()
}

/// Bytes as they are.
#[derive(Clone, Copy)]
struct Plain;

impl Codec for Plain {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Plain {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining()).to_vec()))
    }
}
