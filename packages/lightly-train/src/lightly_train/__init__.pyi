from . import errors as errors
from .model import ImageClassification as ImageClassification
from .model import Prediction as Prediction
from .model import load_model as load_model
from .models import list_models as list_models
from .results import OnnxExport as OnnxExport
from .results import TrainResult as TrainResult
from .train import train_image_classification as train_image_classification
