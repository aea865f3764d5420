//! How a release earns its way from stage to stage.
