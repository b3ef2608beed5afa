/** What only whoever offers the model can say of it, for the summary of training content. */
import { type Static, Type } from 'typebox';

const text = (description: string) => Type.Optional(Type.String({ minLength: 1, description }));
const source = (description: string) =>
  Type.Optional(
    Type.Object(
      {
        used: Type.Boolean(),
        description: Type.Optional(Type.String({ minLength: 1 })),
      },
      { additionalProperties: false, description },
    ),
  );

export const Provider = Type.Object(
  {
    name: text('Legal name of whoever places the model on the market.'),
    contact: text('How to reach them.'),
    authorised_representative: text('In the Union, with contact, where there is one.'),
    market_date: text('When the model was placed on the Union market, YYYY-MM-DD.'),
    content_types: text('Types of content, such as "scientific text, source code".'),
    crawled: source(
      'Whether any of the data were crawled or scraped, by which crawler, when, from which domains.',
    ),
    user_data: source(
      'Whether any were collected from users of the model or of other services, and of which.',
    ),
    synthetic: source('Whether any were made by AI models, and by which.'),
    licensed: source('Whether licensing agreements were concluded with rightsholders.'),
    code_of_practice: Type.Optional(
      Type.Boolean({ description: 'Signatory of the Code of Practice for general-purpose AI models.' }),
    ),
    opt_outs: text('How reservations of rights from text and data mining were respected.'),
    illegal_content: text('What was done to avoid or remove illegal content.'),
    comments: text('Anything else.'),
  },
  {
    additionalProperties: false,
    default: {},
    description:
      'For training-content-summary, which names as open what is not given here and cannot be known otherwise.',
  },
);
export type Provider = Static<typeof Provider>;
